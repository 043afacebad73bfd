//! Behaviour of `args`.

use clap::CommandFactory as _;
use clap::Parser as _;

use super::*;

/// Command lines that the README and the handbook show.
const UNDERSTOOD: &[&str] = &[
    "bore demo",
    "bore demo --check",
    "bore relay init --host 203.0.113.5",
    "bore relay init --domain t.example.org --host relay.example.org",
    "bore relay run",
    "bore relay run --config /etc/bore/relay.toml",
    "bore relay install --print",
    "bore relay status",
    "bore relay drain",
    "bore relay backup /srv/backup",
    "bore relay restore /srv/backup",
    "bore join --key bore_join_x",
    "bore join --key-file key.txt --name laptop --ephemeral",
    "bore join -",
    "bore join --takeover",
    "bore join",
    "bore publish http 3000 --name app",
    "bore publish http 3000 --host app.t.example.org",
    "bore 3000",
    "bore 3000 --name app --allow 10.0.0.0/8",
    "bore --json 3000",
    "bore --state /tmp/s 3000",
    "bore publish udp 7777 --allow 10.0.0.0/8",
    "bore publish udp 7777 --allow overlay --allow group:friends --deny 10.9.0.0/16",
    "bore publish tls 443 --name app",
    "bore publish tls 8443 --host app.example.com --host *.app.example.com",
    "bore publish http 3000 --host Bücher.example --host shop.example.com.",
    "bore publish tcp 22",
    "bore publish tcp 192.168.1.20:22 --port 0",
    "bore publish udp 27000-27050",
    "bore publish http unix:/run/app.sock --bg --wait --timeout 20s",
    "bore publish http 3000 --no-wait --replace",
    "bore run -- make test",
    "bore run --tls 8443 -- npm run e2e",
    "bore run --http 3000 -- npm run e2e --fast",
    "bore up",
    "bore up -f bore.toml --dry-run",
    "bore down",
    "bore ls",
    "bore ls --all --network default",
    "bore status",
    "bore logs",
    "bore logs app -f",
    "bore rm app",
    "bore key create",
    "bore key create --uses 20 --expires 7d --group ci --ephemeral",
    "bore key create --api --scope read --scope publications:write --expires 30d",
    "bore key ls --api",
    "bore key revoke 01981c5e-6d7c-7000-8000-000000000000",
    "bore group create friends",
    "bore group add friends laptop nas",
    "bore group remove friends nas",
    "bore group ls",
    "bore group rm friends",
    "bore domain add example.com",
    "bore domain add bücher.example",
    "bore domain verify example.com",
    "bore domain ls",
    "bore domain rm example.com",
    "bore policy apply office.toml",
    "bore policy ls",
    "bore policy show office",
    "bore policy rm office",
    "bore policy explain --from 10.1.2.3 --to game",
    "bore node ls",
    "bore node add phone --wireguard",
    "bore node rm phone",
    "bore node rename laptop desk",
    "bore audit ls --search laptop",
    "bore audit verify",
    "bore doctor",
    "bore service install --print",
    "bore completions bash",
    "bore explain B2104",
    "bore explain",
    "bore version",
    "bore ls --json -q -vv --no-color --no-input --api-url http://127.0.0.1:7400 --api-key-file -",
];

/// Wrong, or of a later issue: refused rather than half done.
const REFUSED: &[&str] = &[
    "bore",
    "bore 0",
    "bore 70000",
    "bore publish http",
    "bore publish udp 7777 --allow 10.0.0.1/8",
    "bore publish udp 7777 --allow 10.0.0.0/33",
    "bore publish http 3000 --name My_App",
    "bore publish http http://127.0.0.1:3000",
    "bore publish http 3000 --wait --no-wait",
    "bore publish tcp 22 --port 70000",
    "bore join --key K --key-file F",
    "bore join --tun",
    "bore connect db",
    "bore user ls",
    "bore inspect",
    "bore replay 1",
    "bore run",
    "bore key create --scope read",
    "bore key create --api --uses 2",
    "bore relay init",
    "bore explain B2104 B2105",
    "bore demo --timeout soon",
];

#[test]
fn every_documented_command_line_is_understood() {
    for line in UNDERSTOOD {
        if let Err(error) = parse(line) {
            panic!("{line}\n{error}");
        }
    }
}

#[test]
fn wrong_command_lines_are_refused() {
    for line in REFUSED {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn every_example_of_a_help_text_is_understood() {
    let mut seen = 0;
    for text in help_texts(&Cli::command()) {
        for line in text.lines().filter_map(example) {
            seen += 1;
            if let Err(error) = parse(&line) {
                panic!("{line}\n{error}");
            }
        }
    }
    assert!(seen > 60, "the walk found the examples ({seen})");
}

#[test]
fn every_command_shows_examples() {
    let root = Cli::command();
    for command in root.get_subcommands() {
        let own = command.get_after_help().is_some();
        let all_children = command.get_subcommands().all(|child| child.get_after_help().is_some());
        assert!(own || (command.has_subcommands() && all_children), "{}", command.get_name());
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(with_shorthand(line.split_whitespace().map(OsString::from).collect()))
}

/// The after-help of a command and of all below it.
fn help_texts(command: &clap::Command) -> Vec<String> {
    let own = command.get_after_help().map(ToString::to_string);
    own.into_iter().chain(command.get_subcommands().flat_map(help_texts)).collect()
}

/// The command of an example line, without what a shell or the reader's eye takes of it.
fn example(line: &str) -> Option<String> {
    let line = line.trim_start().trim_start_matches("sudo ");
    let line = line.strip_prefix("bore ")?;
    let command = line.split("   ").next()?.split(['<', '>']).next()?;
    let command = command.replace("0198…", "01981c5e-6d7c-7000-8000-000000000000");
    Some(format!("bore {}", command.replace("5f2c…", &"5f2c".repeat(16))))
}
