//! What `cargo xtask link` runs. Tests in name only, so that no binary is needed beside that of the
//! tests: without its variable, neither does anything.
//!
//! `BORE_LINK_REWRITE` rewrites the snapshot; `BORE_LINK_CELL` names a cell to print.

use std::env;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::ours::Ours;
use crate::reference::Reference;
use crate::table::{all_cells, document, row};
use crate::{series, snapshot};

#[test]
fn rewrite_the_snapshot() {
    if env::var_os("BORE_LINK_REWRITE").is_some() {
        fs::write(snapshot::PATH, document(&all_rows())).unwrap();
    }
}

#[test]
fn print_a_cell() {
    if let Ok(name) = env::var("BORE_LINK_CELL") {
        let cell = name.parse().unwrap_or_else(|message| panic!("{message}"));
        series::print::<Reference>("smoltcp", &cell);
        series::print::<Ours>("ours", &cell);
    }
}

/// Every row, made by as many threads as there are processors.
fn all_rows() -> Vec<String> {
    let cells = all_cells();
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(vec![String::new(); cells.len()]);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(cell) = cells.get(index) else { return };
            let row = row(cell);
            eprintln!("{:3}/{} {row}", index + 1, cells.len());
            rows.lock().unwrap()[index] = row;
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    rows.into_inner().unwrap()
}
