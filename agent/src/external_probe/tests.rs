//! Visits to places that answer, refuse, are silent, or are another machine's.

use tokio::net::TcpListener;

use super::*;

#[tokio::test]
async fn a_visit_that_gets_its_token_back_holds_at_every_step() {
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let public = format!("tcp://relay.localhost:{}", relay.local_addr().unwrap().port());
    tokio::spawn(async move {
        let (mut stream, _) = relay.accept().await.unwrap();
        let mut token = vec![0; TOKEN.len() + 1];
        stream.read_exact(&mut token).await.unwrap();
        stream.write_all(&token).await.unwrap();
    });

    let mut steps = Vec::new();
    walk_to(&public, &mut steps).await;
    assert_eq!(names(&steps), [("dns", true), ("port", true), ("edge", true)]);
}

#[tokio::test]
async fn another_service_on_the_port_is_not_taken_for_the_relay() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let public = format!("tcp://{}", other.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = other.accept().await.unwrap();
        stream.write_all(&[b'-'; 64]).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    });

    let mut steps = Vec::new();
    walk_to(&public, &mut steps).await;
    assert_eq!(names(&steps), [("dns", true), ("port", true), ("edge", false)]);
}

#[tokio::test]
async fn a_visit_to_a_name_that_is_passed_through_brings_its_token_in_a_client_hello() {
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = relay.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = relay.accept().await.unwrap();
        let acceptor = rustls::server::Acceptor::default();
        let start = tokio_rustls::LazyConfigAcceptor::new(acceptor, stream).await.unwrap();
        let hello = start.client_hello();
        assert_eq!(hello.server_name(), Some("app.localhost"));
        let offered: Vec<&[u8]> = hello.alpn().unwrap().collect();
        let token = offered[0].strip_prefix(VISIT_PROTOCOL).unwrap().to_vec();
        assert_eq!(offered.len(), 1);
        let mut stream = start.io;
        stream.write_all(&token).await.unwrap();
    });

    let mut steps = Vec::new();
    walk_to(&format!("tls://app.localhost:{port}"), &mut steps).await;
    assert_eq!(names(&steps), [("dns", true), ("port", true), ("edge", true)], "{steps:?}");
}

#[tokio::test]
async fn a_closed_port_is_a_failed_port_with_its_cause() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut steps = Vec::new();
    walk_to(&format!("http://{closed}"), &mut steps).await;
    assert_eq!(names(&steps), [("dns", true), ("port", false)]);
    assert!(steps[1].detail.contains(&closed.to_string()));
}

#[tokio::test]
async fn a_udp_visit_survives_a_lost_datagram() {
    let relay = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let public = format!("udp://{}", relay.local_addr().unwrap());
    tokio::spawn(async move {
        let mut token = [0; 64];
        relay.recv_from(&mut token).await.unwrap();
        let (count, from) = relay.recv_from(&mut token).await.unwrap();
        relay.send_to(&token[..count], from).await.unwrap();
    });

    let mut steps = Vec::new();
    walk_to(&public, &mut steps).await;
    assert_eq!(names(&steps), [("dns", true), ("port", true), ("edge", true)]);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_stops_at_dns() {
    let mut steps = Vec::new();
    walk_to("http://no-such-host.invalid", &mut steps).await;
    assert_eq!(names(&steps), [("dns", false)]);
}

#[test]
fn of_several_hostnames_the_one_that_fails_is_named_by_its_step() {
    let [good, bad] = ["https://a.example/", "https://b.example/"]
        .map(|text| PublicAddress::parse(text).unwrap());
    let holds = || vec![Step::held(StepName::Dns, "a.example is here")];
    let mut walked = Walked::default();
    assert!(walked.take(&good, holds()));
    assert!(!walked.take(
        &bad,
        vec![
            Step::held(StepName::Dns, "b.example is here"),
            Step::failed(StepName::Port, "closed")
        ]
    ));
    let told = walked.told(3);
    assert_eq!(names(&told), [("dns", true), ("port", false)]);
    assert_eq!(told[1].detail, "b.example: closed");

    let mut walked = Walked::default();
    assert!(walked.take(&good, holds()) && walked.take(&bad, holds()));
    assert_eq!(walked.told(2)[0].detail, "a.example is here, and so for 1 more");
    let mut alone = Walked::default();
    alone.take(&good, vec![Step::failed(StepName::Port, "closed")]);
    assert_eq!(alone.told(1)[0].detail, "closed");
}

#[tokio::test]
async fn a_certificate_that_this_machine_does_not_trust_is_a_step_of_its_own() {
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = relay.local_addr().unwrap().port();
    let made = rcgen::generate_simple_self_signed(["app.localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.unwrap())
        .unwrap();
    tokio::spawn(async move {
        let (stream, _) = relay.accept().await.unwrap();
        // The visitor breaks it off.
        let _ = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await;
    });

    let mut steps = Vec::new();
    walk_to(&format!("https://app.localhost:{port}/"), &mut steps).await;
    assert_eq!(names(&steps), [("dns", true), ("port", true), ("certificate", false)]);
    assert!(steps[2].detail.contains("does not trust"), "{steps:?}");
}

#[tokio::test]
async fn a_name_that_leads_nearer_than_the_relay_is_neither_dialled_nor_described() {
    let victim = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = victim.local_addr().unwrap().port();
    for public in [
        format!("tcp://app.localhost:{port}"),
        format!("udp://127.0.0.1:{port}"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("tls://app.localhost:{port}"),
        format!("tcp://0.0.0.0:{port}"),
    ] {
        let mut steps = Vec::new();
        walk(&place(&public), [203, 0, 113, 5].into(), TOKEN, &mut steps).await;
        assert_eq!(names(&steps), [("dns", false)], "{public}");
        assert!(!steps[0].detail.contains(&port.to_string()), "{steps:?}");
    }
    let nobody = tokio::time::timeout(Duration::ZERO, victim.accept()).await;
    assert!(nobody.is_err(), "the listener was reached");
}

#[tokio::test]
async fn another_name_for_the_relay_leads_to_where_the_tunnel_goes_or_nowhere() {
    let place = Place { only_at: Some([127, 0, 0, 2].into()), ..place("tcp://app.localhost:9") };
    let mut steps = Vec::new();
    walk(&place, [127, 0, 0, 2].into(), TOKEN, &mut steps).await;
    assert_eq!(names(&steps), [("dns", false)]);
}

/// The relay is on this machine.
async fn walk_to(public: &str, steps: &mut Vec<Step>) {
    walk(&place(public), [127, 0, 0, 1].into(), TOKEN, steps).await;
}

fn place(public: &str) -> Place {
    Place { address: PublicAddress::parse(public).unwrap(), only_at: None }
}

fn names(steps: &[Step]) -> Vec<(&'static str, bool)> {
    steps.iter().map(|step| (step.name.as_str(), step.ok)).collect()
}

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
