//! The page: well-formed, self-contained, and with the numbers of the report.

use std::time::Duration;

use wootz_load::drive::Run;
use wootz_load::html::page;
use wootz_load::metrics::ServerFigures;
use wootz_load::record::{Arrival, ErrorKind, Outcome, Part, Record, Usage};
use wootz_load::report::{LoadReport, Report, ServerInfo, ServerLoad, compare};
use wootz_load::server::Kind;

const MS: Duration = Duration::from_millis(1);

/// A request that was due at `due`, whose first token came after `first`, and then one every `each`.
fn record(index: usize, due: u32, first: u32, each: u32, tokens: u32) -> Record {
    let due = MS * due;
    let arrival = |token| Arrival { at: due + MS * first + MS * each * token, tokens: 1 };
    let arrivals: Vec<Arrival> = (0..tokens).map(arrival).collect();
    Record {
        index,
        part: Part::Plain,
        due,
        sent: due,
        ended: arrivals.last().unwrap().at,
        arrivals,
        usage: Usage { prompt: Some(100), cached: None, output: Some(tokens.into()) },
        outcome: Outcome::Answered,
    }
}

fn report() -> Report {
    let run = |scale: u32| {
        let mut records: Vec<Record> =
            (0..10).map(|index| record(index, 10 * index as u32, 25 * scale, 5 * scale, 20)).collect();
        records[3].outcome = Outcome::Failed { kind: ErrorKind::Broken, message: "<cut> & \"gone\"".into() };
        let took = records.iter().map(|record| record.ended).max().unwrap();
        (Run { records, took }, ServerFigures::default())
    };
    let server = |name: &str, scale| ServerLoad::new(name.into(), vec![run(scale), run(scale)], None);
    let servers = vec![server("fast <1>", 1), server("slow", 2)];
    let info = |name: &str| ServerInfo {
        name: name.into(),
        address: "http://localhost/".into(),
        kind: Kind::Wootz,
        model: "m & n".into(),
    };
    let comparisons = compare(&servers);
    let load = LoadReport { name: "4 streams > 3".into(), servers, comparisons };
    Report { servers: vec![info("fast <1>"), info("slow")], interrupted: false, loads: vec![load] }
}

#[test]
fn the_page_is_well_formed_and_has_the_numbers() {
    let page = page(&report());
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(&page, options).unwrap();
    let cells: Vec<Vec<&str>> = document
        .descendants()
        .filter(|node| node.has_tag_name("tr") || node.tag_name().name() == "tr")
        .map(|row| row.children().map(|cell| cell.text().unwrap_or("")).collect())
        .collect();
    let row = |first: &str, second: &str| {
        cells.iter().find(|row| row.len() > 2 && row[0] == first && row[1] == second).unwrap().clone()
    };
    // mean, p50, p95, p99, lowest, highest in ms, and how many there are.
    assert_eq!(
        row("time to first token", "fast <1>")[2..],
        ["25.00", "25.00", "25.00", "25.00", "25.00", "25.00", "20"]
    );
    assert_eq!(
        row("inter-token latency", "slow")[2..],
        ["10.00", "10.00", "10.00", "10.00", "10.00", "10.00", "380"]
    );
    // 200 tokens in 210 ms: the last was due at 90 ms, began after 25, and took 19 times 5; 330 ms on the other.
    let rates = row("output tokens/s", "fast <1> / slow");
    assert_eq!(rates[2..5], ["952.38", "606.06", "1.57"]);
    assert_eq!(row("end to end, median", "fast <1> / slow")[2..5], ["120.00", "240.00", "0.50"]);
    let rounds = row("2 rounds", "slow");
    assert_eq!((rounds[5], rounds[6], rounds[7], rounds[9]), ("18 of 20", "1800", "400", "not given"));
    let count = |name: &str| document.descendants().filter(|node| node.tag_name().name() == name).count();
    // Two distributions, the throughput, and a timeline for each server: a line each, and two bars a request.
    assert_eq!((count("svg"), count("polyline"), count("rect")), (5, 6, 40));
    assert_eq!(count("script") + count("link") + count("img"), 0);
    assert!(
        document
            .descendants()
            .any(|node| node.text().is_some_and(|text| text.contains("broken stream: <cut> & \"gone\"")))
    );
    assert!(page.contains("prefers-color-scheme: dark") && !page.contains("NaN") && !page.contains("inf"));
}

#[test]
fn a_report_without_any_answer_is_a_page_too() {
    let mut report = report();
    for server in &mut report.loads[0].servers {
        *server =
            ServerLoad::new(server.server.clone(), vec![(Run::default(), ServerFigures::default())], None);
    }
    report.loads[0].comparisons = compare(&report.loads[0].servers);
    report.interrupted = true;
    let page = page(&report);
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    roxmltree::Document::parse_with_options(&page, options).unwrap();
    assert!(page.contains("Ended early") && !page.contains("NaN"));
}
