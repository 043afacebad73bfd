//! What a hostile service answers to HTTP/1, and what becomes of it.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::scene::{Scene, ask, get, hear, linger, pour};
use crate::wire::Answer;

/// What a service does when it is asked, what it is asked, and what its visitor may get.
pub(crate) struct Attempt {
    name: &'static str,
    serves: Serves,
    asks: Asks,
    wants: Wants,
}

enum Serves {
    /// Says this, and keeps the connection.
    Says(&'static str),
    /// Says this, and closes.
    Ends(&'static str),
    Does(fn(&mut TcpStream)),
}

enum Asks {
    Get,
    Head,
    Upgrade,
    /// Two questions on one connection.
    Twice,
}

enum Wants {
    /// A page of the relay's that says that the service is at fault.
    Refused,
    /// An answer with this body, to its end.
    Body(&'static str),
    /// A beginning, and no end.
    Cut,
    /// Any answer that can be read in one way only.
    Whole,
    /// The answer is as this says.
    Like(fn(&Answer) -> bool),
}

pub(crate) fn attempt(scene: &Scene, attempt: &Attempt) {
    let Attempt { name, serves, asks, wants } = attempt;
    match *serves {
        Says(text) => scene.evil.does(move |stream| {
            hear(stream);
            // A relay that has seen enough closes.
            let _ = stream.write_all(text.as_bytes());
            linger(stream);
        }),
        Ends(text) => scene.evil.does(move |stream| {
            hear(stream);
            let _ = stream.write_all(text.as_bytes());
        }),
        Does(script) => scene.evil.does(script),
    }
    let request = match asks {
        Asks::Get | Asks::Twice => get("bad", ""),
        Asks::Head => get("bad", "").replacen("GET", "HEAD", 1),
        Asks::Upgrade => get("bad", "Connection: upgrade\r\nUpgrade: websocket\r\n"),
    };
    let (mut stream, answer) = ask(scene.visit(), &request);
    let is_whole = judge(name, wants, answer)
        && (!matches!(asks, Asks::Twice) || is_answered_again(&mut stream, &request));
    // Behind half an answer there is nothing to ask.
    if is_whole {
        scene.demand_apart(name, stream);
    } else {
        drop(stream);
    }
    scene.demand_harmless(name);
    assert_eq!(scene.state_of("bad"), "live", "{name}");
}

/// The second answer of a hostile service is its own business, and whether there is one.
fn is_answered_again(stream: &mut BufReader<TcpStream>, request: &str) -> bool {
    stream.get_ref().set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let asked = stream.get_mut().write_all(request.as_bytes());
    asked.is_ok() && crate::wire::read(stream, false).is_ok_and(|answer| answer.is_whole)
}

/// Returns true if the answer came to its end.
fn judge(name: &str, wants: &Wants, answer: Result<Answer, String>) -> bool {
    let answer = answer.unwrap_or_else(|error| panic!("{name}: {error}"));
    let text = answer.text();
    let is_right = match wants {
        Refused => answer.status == 502 && answer.is_whole && !tells_places(&text),
        Body(body) => answer.status == 200 && answer.is_whole && text == *body,
        Cut => !answer.is_whole,
        Whole => answer.is_whole,
        Like(is_like) => is_like(&answer),
    };
    let shown: String = text.chars().take(300).collect();
    let fields = answer.fields.get(..answer.fields.len().min(20));
    assert!(is_right, "{name}: {} {fields:?} {} {shown:?}", answer.status, answer.is_whole);
    answer.is_whole
}

/// A page for visitors says nothing about the inside.
fn tells_places(text: &str) -> bool {
    ["127.0.0.1", "localhost", "6666", "100.64."].iter().any(|place| text.contains(place))
}

macro_rules! attempts {
    ($($name:literal, $serves:expr, $asks:ident, $wants:expr;)*) => {
        [$(Attempt { name: $name, serves: $serves, asks: Asks::$asks, wants: $wants }),*]
    };
}

use Serves::{Does, Ends, Says};
use Wants::{Body, Cut, Like, Refused, Whole};

/// Heads without end or sense.
pub(crate) const HEADS: [Attempt; 24] = attempts! {
    "endless fields", Does(|stream| endless(stream, "HTTP/1.1 200 OK\r\n", "X: y\r\n")), Get, Refused;
    "an endless field", Does(|stream| endless(stream, "HTTP/1.1 200 OK\r\nX: ", "y")), Get, Refused;
    "an endless field that is folded", Does(|stream| endless(stream, "HTTP/1.1 200 OK\r\nX: y\r\n", " y\r\n")), Get, Refused;
    "an endless name", Does(|stream| endless(stream, "HTTP/1.1 200 OK\r\n", "x")), Get, Refused;
    "an endless reason", Does(|stream| endless(stream, "HTTP/1.1 200 ", "OK ")), Get, Refused;
    "endless empty lines", Does(|stream| endless(stream, "", "\r\n")), Get, Refused;
    "endless nonsense", Does(|stream| endless(stream, "", "A")), Get, Refused;
    "endless zeros", Does(|stream| endless(stream, "HTTP/1.1 200 OK\r\n", "\0")), Get, Refused;
    "5,000 fields", Does(|stream| fields(stream, 5_000)), Get, Like(|answer| answer.text() == "evil" && answer.fields.len() < 1_100);
    "a field of 60 KiB", Does(|stream| long(stream, 60 << 10)), Get, Body("evil");
    "a field of 70 KiB", Does(|stream| long(stream, 70 << 10)), Get, Refused;
    "a head byte by byte, then nothing", Does(trickle), Get, Refused;
    "no HTTP", Ends("SSH-2.0-OpenSSH_9.2\r\n"), Get, Refused;
    "HTTP/2 unasked", Ends("\0\0\0\u{4}\0\0\0\0\0"), Get, Refused;
    "HTTP of another century", Ends("HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n"), Get, Refused;
    "a status of two digits", Ends("HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"), Get, Refused;
    "a status of four digits", Ends("HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"), Get, Refused;
    "status 000", Ends("HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n"), Get, Refused;
    "status 999", Says("HTTP/1.1 999 OK\r\nContent-Length: 4\r\n\r\nevil"), Get, Like(|answer| answer.status == 999 && answer.text() == "evil");
    "a negative status", Ends("HTTP/1.1 -200 OK\r\nContent-Length: 0\r\n\r\n"), Get, Refused;
    "half a head", Ends("HTTP/1.1 200 OK\r\nContent-Le"), Get, Refused;
    "nothing", Ends(""), Get, Refused;
    "escapes in the reason", Says("HTTP/1.1 200 \u{1b}]0;evil\u{7}\r\nContent-Length: 4\r\n\r\nevil"), Get, Body("evil");
    "escapes in names and values", Says("HTTP/1.1 200 OK\r\n\u{1b}[2J: a\r\nX: \u{1b}[2J\r\n\u{1b}]52;c;ZXZpbA==\u{7}\r\nContent-Length: 4\r\n\r\nevil"), Get, Like(|answer| answer.text() == "evil" && answer.field("x").is_none());
};

/// One answer that would be two, or another's.
pub(crate) const SPLITS: [Attempt; 20] = attempts! {
    "a bare CR in a value", Says("HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: evil=1\r\nContent-Length: 4\r\n\r\nevil"), Get, Like(|answer| answer.text() == "evil" && answer.field("set-cookie").is_none());
    "a bare CR in the reason", Says("HTTP/1.1 200 OK\rSet-Cookie: evil=1\r\nContent-Length: 4\r\n\r\nevil"), Get, Like(|answer| answer.field("set-cookie").is_none());
    "a zero in a value", Says("HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 4\r\n\r\nevil"), Get, Like(|answer| answer.text() == "evil" && answer.field("x").is_none());
    "an answer in a folded line", Says("HTTP/1.1 200 OK\r\nX: a\r\n HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"), Get, Body("evil");
    "an answer before the request", Does(speak_first), Twice, Whole;
    "two answers", Says("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevilHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nSMUGGLED"), Get, Body("evil");
    "two answers, and asked twice", Says("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevilHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nSMUGGLED"), Twice, Body("evil");
    "endless answers", Does(|stream| endless(stream, "", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")), Get, Body("evil");
    "a second answer a moment later", Does(later), Twice, Body("evil");
    "bytes behind the length", Says("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevilSMUGGLED"), Get, Body("evil");
    "bytes behind the last chunk", Says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\nSMUGGLED"), Get, Body("evil");
    "a body for HEAD", Says("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nSMUGGLED"), Head, Like(|answer| answer.status == 200 && answer.body.is_empty());
    "an answer as the body for HEAD", Says("HTTP/1.1 200 OK\r\nContent-Length: 47\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nSMUGGLED"), Head, Like(|answer| answer.body.is_empty());
    "chunks for HEAD", Says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nSMUGGLED\r\n0\r\n\r\n"), Head, Like(|answer| answer.body.is_empty());
    "a body with 204", Says("HTTP/1.1 204 No Content\r\nContent-Length: 8\r\n\r\nSMUGGLED"), Get, Like(|answer| answer.status == 204);
    "chunks with 204", Says("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nSMUGGLED\r\n0\r\n\r\n"), Get, Like(|answer| answer.status == 204);
    "a body with 304", Says("HTTP/1.1 304 Not Modified\r\nContent-Length: 8\r\n\r\nSMUGGLED"), Get, Like(|answer| answer.status == 304);
    "a body with 205", Says("HTTP/1.1 205 Reset Content\r\nContent-Length: 8\r\n\r\nSMUGGLED"), Get, Whole;
    "an answer behind an answer that closes", Ends("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nevilHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nSMUGGLED"), Get, Body("evil");
    "an answer behind an answer of HTTP/1.0", Ends("HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nevilHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nSMUGGLED"), Get, Body("evil");
};

/// Bodies whose end is said wrong, twice, or never.
pub(crate) const ENDS: [Attempt; 38] = attempts! {
    "a length beyond the body", Ends("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nevil"), Get, Cut;
    "a negative length", Ends("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nevil"), Get, Refused;
    "a length with a sign", Ends("HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\nevil"), Get, Refused;
    "a hexadecimal length", Ends("HTTP/1.1 200 OK\r\nContent-Length: 0x4\r\n\r\nevil"), Get, Refused;
    "a length with a point", Ends("HTTP/1.1 200 OK\r\nContent-Length: 4.0\r\n\r\nevil"), Get, Refused;
    "a length in words", Ends("HTTP/1.1 200 OK\r\nContent-Length: four\r\n\r\nevil"), Get, Refused;
    "a length beyond 64 bits", Ends("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nevil"), Get, Refused;
    "the largest length", Ends("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nevil"), Get, Like(|answer| answer.status == 502 || !answer.is_whole);
    "two lengths", Ends("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 8\r\n\r\nevilevil"), Get, Refused;
    "two lengths in one", Ends("HTTP/1.1 200 OK\r\nContent-Length: 4, 8\r\n\r\nevilevil"), Get, Refused;
    "two equal lengths", Says("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nevil"), Get, Body("evil");
    "a length with a space inside", Ends("HTTP/1.1 200 OK\r\nContent-Length: 4 4\r\n\r\nevil"), Get, Refused;
    "a length in a folded line", Says("HTTP/1.1 200 OK\r\nContent-Length:\r\n 4\r\n\r\nevilSMUGGLED"), Get, Body("evil");
    "a length named by Connection", Says("HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 4\r\n\r\nevil"), Get, Body("evil");
    "a length and chunks", Says("HTTP/1.1 200 OK\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n"), Get, Body("evil");
    "chunks and a length", Says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n4\r\nevil\r\n0\r\n\r\n"), Get, Body("evil");
    "chunks named by Connection", Says("HTTP/1.1 200 OK\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n"), Get, Body("evil");
    "a space before the colon of chunks", Says("HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\nContent-Length: 2\r\n\r\n4\r\nevil\r\n0\r\n\r\n"), Get, Body("evil");
    "an encoding that is nearly chunks", Ends("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n"), Get, Like(|answer| answer.status == 502 || answer.is_whole);
    "an encoding with a control byte", Ends("HTTP/1.1 200 OK\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n"), Get, Like(|answer| answer.status == 502 || answer.is_whole);
    "chunks in chunks", Ends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n"), Get, Like(|answer| answer.status == 502 || answer.is_whole);
    "chunks in HTTP/1.0", Ends("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n"), Get, Like(|answer| answer.status == 502 || answer.is_whole);
    "a negative chunk", Ends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n-1\r\nevil\r\n0\r\n\r\n"), Get, Cut;
    "a chunk of 2^64 bytes", Ends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n10000000000000000\r\nevil\r\n0\r\n\r\n"), Get, Cut;
    "a chunk of 2^64 - 1 bytes", Ends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\nffffffffffffffff\r\nevil\r\n0\r\n\r\n"), Get, Cut;
    "a chunk with 0x", Ends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0x4\r\nevil\r\n0\r\n\r\n"), Get, Cut;
    "a chunk without a size", Ends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n\r\nevil\r\n0\r\n\r\n"), Get, Cut;
    "a chunk longer than it says", Ends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n2\r\nevil\r\n0\r\n\r\n"), Get, Cut;
    "a chunk that breaks off", Ends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n8\r\nevil"), Get, Cut;
    "no last chunk", Ends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n"), Get, Cut;
    "an endless extension of a chunk", Does(|stream| endless(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n4;", "a=b;")), Get, Cut;
    "endless zeros of a chunk size", Does(|stream| endless(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n", "0")), Get, Cut;
    "endless trailers", Does(|stream| endless(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n", "X: y\r\n")), Get, Cut;
    "trailers that would frame", Says("HTTP/1.1 200 OK\r\nTrailer: Content-Length, Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\nContent-Length: 8\r\nTransfer-Encoding: identity\r\n\r\n"), Get, Body("evil");
    "an answer in the trailers", Ends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nSMUGGLED"), Get, Like(|answer| answer.text() == "evil");
    "a length in the digits of another script", Says("HTTP/1.1 200 OK\r\nContent-Length: \u{664}\r\n\r\nevil"), Get, Refused;
    "a keep-alive of ages", Says("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=18446744073709551615, max=99999999999999999999\r\nContent-Length: 4\r\n\r\nevil"), Twice, Body("evil");
    "an endless body that breaks off", Does(break_off), Get, Cut;
};

/// Interim answers and changes of protocol.
pub(crate) const INTERIM: [Attempt; 14] = attempts! {
    "endless 100", Does(|stream| endless(stream, "", "HTTP/1.1 100 Continue\r\n\r\n")), Get, Refused;
    "endless 103", Does(|stream| endless(stream, "", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")), Get, Refused;
    "60 large 103", Does(large_hints), Get, Body("evil");
    "a 103 with a body", Says("HTTP/1.1 103 Early Hints\r\nContent-Length: 8\r\n\r\nSMUGGLEDHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"), Get, Refused;
    "a 199", Says("HTTP/1.1 199 Whatever\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"), Get, Body("evil");
    "a 103 behind the answer", Says("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevilHTTP/1.1 103 Early Hints\r\n\r\n"), Twice, Body("evil");
    "a 103 and no more", Ends("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), Get, Refused;
    "101 unasked", Says("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nSMUGGLED"), Get, Refused;
    "101 for HEAD", Says("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nSMUGGLED"), Head, Like(|answer| answer.status == 502);
    "101 to nothing", Says("HTTP/1.1 101 Switching Protocols\r\n\r\n"), Upgrade, Refused;
    "101 to h2c", Ends("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"), Upgrade, Like(|answer| [101, 502].contains(&answer.status));
    "an upgrade that is an answer", Says("HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 4\r\n\r\nevilSMUGGLED"), Upgrade, Like(|answer| answer.text() == "evil" && answer.field("upgrade").is_none());
    "426 with an upgrade", Says("HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n"), Get, Like(|answer| answer.status == 426);
    "endless upgrades", Does(|stream| endless(stream, "", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")), Get, Refused;
};

/// Fields that speak for another party.
pub(crate) const CLAIMS: [Attempt; 12] = attempts! {
    "fields of the connection", Says("HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=60\r\nProxy-Authenticate: Basic\r\nProxy-Connection: close\r\nTE: trailers\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\nevil"), Get,
        Like(|answer| ["x-secret", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "upgrade"].iter().all(|name| answer.field(name).is_none()));
    "the mark of the relay's own pages", Says("HTTP/1.1 200 OK\r\nBore-Error: B7101\r\nContent-Length: 4\r\n\r\nevil"), Get, Like(|answer| answer.field("bore-error").is_none());
    "who the visitor is", Says("HTTP/1.1 200 OK\r\nX-Forwarded-For: 127.0.0.1\r\nContent-Length: 4\r\n\r\nevil"), Get, Body("evil");
    "an id of the request for a log", Says("HTTP/1.1 200 OK\r\nX-Request-Id: \u{1b}[2J\r\nContent-Length: 4\r\n\r\nevil"), Get, Like(|answer| answer.field("x-request-id").is_some_and(|id| id.len() == 36));
    "a cookie for a neighbour", Says("HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Domain=good.t.test\r\nContent-Length: 4\r\n\r\nevil"), Get, Like(|answer| answer.field("set-cookie") == Some("a=b; Domain=good.t.test"));
    "900 cookies", Does(cookies), Get, Body("evil");
    "a redirect to a script", Says("HTTP/1.1 302 Found\r\nLocation: javascript:alert(1)\r\nContent-Length: 0\r\n\r\n"), Get, Like(|answer| answer.field("location") == Some("javascript:alert(1)"));
    "a redirect that would split", Says("HTTP/1.1 302 Found\r\nLocation: /\rSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n"), Get, Like(|answer| answer.field("set-cookie").is_none());
    "a redirect to itself", Says("HTTP/1.1 302 Found\r\nLocation: http://bad.t.test/\r\nContent-Length: 0\r\n\r\n"), Get, Like(|answer| answer.status == 302);
    // As a web server of its own would: each of them is for this host alone, or has no force without TLS.
    "other ways to its host", Says("HTTP/1.1 200 OK\r\nAlt-Svc: h3=\":443\"; ma=2592000\r\nStrict-Transport-Security: max-age=63072000; includeSubDomains\r\nContent-Length: 4\r\n\r\nevil"), Get,
        Like(|answer| answer.field("alt-svc").is_some() && answer.field("strict-transport-security").is_some());
    "a date, a server and a via", Says("HTTP/1.1 200 OK\r\nDate: never\r\nServer: bore\r\nVia: 1.1 bore\r\nContent-Length: 4\r\n\r\nevil"), Get, Body("evil");
    "an answer that waits for a body", Says("HTTP/1.1 417 Expectation Failed\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n"), Get, Like(|answer| answer.status == 417);
};

/// Says `start`, and `piece` again and again.
fn endless(stream: &mut TcpStream, start: &str, piece: &str) {
    hear(stream);
    if stream.write_all(start.as_bytes()).is_ok() {
        pour(stream, piece.as_bytes());
    }
}

fn say(stream: &mut TcpStream, fields: &str) {
    hear(stream);
    let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 4\r\n\r\nevil");
    // A relay that has seen enough closes.
    let _ = stream.write_all(head.as_bytes());
    linger(stream);
}

fn fields(stream: &mut TcpStream, count: usize) {
    say(stream, &"X: y\r\n".repeat(count));
}

fn long(stream: &mut TcpStream, bytes: usize) {
    say(stream, &format!("X: {}\r\n", "y".repeat(bytes)));
}

fn cookies(stream: &mut TcpStream) {
    say(stream, &"Set-Cookie: a=b\r\n".repeat(900));
}

/// Slower than any network, faster than a test's patience.
fn trickle(stream: &mut TcpStream) {
    hear(stream);
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX: " {
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn speak_first(stream: &mut TcpStream) {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nSMUGGLED";
    let _ = stream.write_all(answer);
    hear(stream);
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    linger(stream);
}

fn later(stream: &mut TcpStream) {
    hear(stream);
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    std::thread::sleep(Duration::from_millis(20));
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nSMUGGLED");
    linger(stream);
}

fn large_hints(stream: &mut TcpStream) {
    hear(stream);
    let hint = format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "x".repeat(60 << 10));
    for _ in 0..60 {
        if stream.write_all(hint.as_bytes()).is_err() {
            return;
        }
    }
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    linger(stream);
}

fn break_off(stream: &mut TcpStream) {
    hear(stream);
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..8 {
        let _ = stream.write_all(format!("4000\r\n{}\r\n", "x".repeat(0x4000)).as_bytes());
    }
    // With a request that was read: an end in order, in the middle of the body.
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read(&mut [0; 1]);
}
