//! HTTPS of the product beside nginx and haproxy, which end TLS and pass requests on to the same origin.
//!
//! All of it on loopback: visitors (h2load, and handshakes of our own) → what ends TLS → the origin, nginx with 32 bytes for every
//! request. Behind `bore` lie the tunnel and the agent as well. Every program shows one certificate (ECDSA P-256), speaks TLS 1.3 with
//! AES-128-GCM and X25519, and may use all cores, which it shares with visitors and origin. Rounds take turns, so that what else happens
//! on the machine meets all alike.

mod load;
mod subjects;

use std::path::Path;
use std::time::Duration;

use rustls::NamedGroup;

use self::load::{Load, Protocol};
use self::subjects::{Origin, Subject, all};
use crate::Result;
use crate::certificate::Certified;
use crate::handshakes::Wanted;
use crate::report::table;

pub(crate) async fn run(bore: &Path, seconds: u64, rounds: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let certified = Certified::new(folder.path())?;
    let origin = Origin::start(folder.path()).await?;
    let subjects = all(bore, folder.path(), &certified, &origin).await?;
    let span = Duration::from_secs(seconds);
    let mut cells = vec![vec![Vec::new(); subjects.len()]; MEASURES.len()];
    for _ in 0..rounds {
        for (measure, row) in MEASURES.iter().zip(&mut cells) {
            for (subject, cell) in subjects.iter().zip(row) {
                cell.extend(measure.take(subject, &certified, folder.path(), span).await?);
            }
        }
    }
    let names: Vec<&str> = subjects.iter().map(|subject| subject.name).collect();
    print(&names, &cells);
    Ok(())
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
enum Measure {
    Requests(Load),
    Handshakes(Wanted),
}

/// What came of it once.
#[derive(Debug, Clone, Copy)]
struct Figure {
    per_second: f64,
    /// Of requests.
    p99: Option<Duration>,
    /// Of whatever ends TLS and leads to the origin, for each.
    processor: Duration,
}

impl Measure {
    /// `None` when this subject cannot do it.
    async fn take(
        self,
        subject: &Subject,
        certified: &Certified,
        folder: &Path,
        span: Duration,
    ) -> Result<Option<Figure>> {
        let (figure, count) = match self {
            Self::Handshakes(wanted) if !subject.groups.contains(&wanted.group) => return Ok(None),
            Self::Handshakes(wanted) => {
                let before = subject.cpu()?;
                let made = wanted.measure(subject.address, certified, span).await;
                let made = made.map_err(|error| format!("{}: {error}", subject.name))?;
                let per_second = f64::from(made.count) / made.took.as_secs_f64();
                let processor = subject.cpu()?.saturating_sub(before);
                (Figure { per_second, p99: None, processor }, made.count)
            }
            Self::Requests(load) => {
                let before = subject.cpu()?;
                let done = load.run(subject.address, folder, span).await;
                let done = done.map_err(|error| format!("{}: {error}", subject.name))?;
                let per_second = f64::from(done.count) / span.as_secs_f64();
                let processor = subject.cpu()?.saturating_sub(before);
                (Figure { per_second, p99: Some(done.p99), processor }, done.count)
            }
        };
        Ok(Some(Figure { processor: figure.processor / count.max(1), ..figure }))
    }

    fn name(self) -> String {
        match self {
            Self::Requests(load) => load.name(),
            Self::Handshakes(Wanted { group, resumed }) => {
                let kind = if resumed { "resumed" } else { "full" };
                let group = if group == GROUP { "" } else { ", X25519MLKEM768" };
                format!("{kind} handshakes{group}")
            }
        }
    }
}

fn print(names: &[&str], cells: &[Vec<Vec<Figure>>]) {
    let beside: Vec<String> = names.iter().skip(1).map(|name| format!("beside {name}")).collect();
    let mut head = vec!["measure"];
    head.extend(names);
    head.extend(beside.iter().map(String::as_str));
    let mut rows = Vec::new();
    for (measure, row) in MEASURES.iter().zip(cells) {
        let name = measure.name();
        let figures = |of: fn(&Figure) -> Option<f64>| -> Vec<Option<f64>> {
            row.iter().map(|cell| median(cell.iter().filter_map(of).collect())).collect()
        };
        rows.push(line(
            &format!("{name}, a second"),
            &figures(|figure| Some(figure.per_second)),
            0,
        ));
        if let Measure::Requests(_) = measure {
            let p99 = figures(|figure| figure.p99.map(|time| time.as_secs_f64() * 1e3));
            rows.push(line(&format!("{name}, p99, ms"), &p99, 1));
        }
        let processor = figures(|figure| Some(figure.processor.as_secs_f64() * 1e6));
        rows.push(line(&format!("{name}, processor each, µs"), &processor, 0));
    }
    table(&head, &rows);
}

/// The figures of all, and how many times the others' the first one's is.
fn line(name: &str, figures: &[Option<f64>], decimals: usize) -> Vec<String> {
    let shown = |figure: &Option<f64>| {
        figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.decimals$}"))
    };
    let first = figures.first().copied().flatten();
    let ratios = figures.iter().skip(1).map(|other| match (first, other) {
        (Some(first), Some(other)) => format!("{:.2} ×", first / other),
        (_, _) => "–".to_owned(),
    });
    std::iter::once(name.to_owned()).chain(figures.iter().map(shown)).chain(ratios).collect()
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

const GROUP: NamedGroup = NamedGroup::X25519;

const fn requests(protocol: Protocol, connections: u32, streams: u32) -> Measure {
    Measure::Requests(Load { protocol, connections, streams })
}

const fn handshakes(group: NamedGroup, resumed: bool) -> Measure {
    Measure::Handshakes(Wanted { group, resumed })
}

const MEASURES: [Measure; 7] = [
    requests(Protocol::Http1, 50, 1),
    requests(Protocol::Http1, 500, 1),
    requests(Protocol::Http2, 50, 10),
    requests(Protocol::Http2, 500, 1),
    handshakes(GROUP, false),
    handshakes(GROUP, true),
    handshakes(NamedGroup::X25519MLKEM768, false),
];
