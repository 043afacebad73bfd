//! sslyze, and OpenSSL 3.5 by pyOpenSSL for what sslyze cannot ask: which protocols, suites and key exchange there are, and what old
//! attacks find.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bore_tests::namespace::must_run;
use bore_tests::secured::Secured;
use serde_json::Value;

use crate::scene::{self, HOST};

#[test]
fn a_relay_speaks_tls_1_3_alone_and_no_weakness_is_found() {
    let (scene, _nginx) = scene::start();
    let _published = scene::publish(&scene);
    let scan = Scan::of(&scene);
    assert_eq!(scan.protocols(), BTreeSet::from(["tls_1_3_cipher_suites"]));
    scan.demand_strong_suites();
    scan.demand_curves();
    scan.demand_chain();
    scan.demand_no_weakness();
}

#[test]
fn tls_1_2_is_spoken_where_it_is_asked_for_with_forward_secrecy_alone() {
    let (scene, _nginx) = scene::start_with("min = \"1.2\"");
    let _published = scene::publish(&scene);
    let scan = Scan::of(&scene);
    let both = BTreeSet::from(["tls_1_2_cipher_suites", "tls_1_3_cipher_suites"]);
    assert_eq!(scan.protocols(), both);
    scan.demand_strong_suites();
    scan.demand_curves();
    scan.demand_chain();
    scan.demand_no_weakness();
    let of_scan = |path: &str| scan.result(path).as_bool();
    assert_eq!(of_scan("/tls_extended_master_secret/result/supports_ems_extension"), Some(true));
    assert_eq!(of_scan("/tls_fallback_scsv/result/supports_fallback_scsv"), Some(true));
    assert_eq!(of_scan("/session_renegotiation/result/supports_secure_renegotiation"), Some(true));
}

#[test]
fn key_exchange_is_post_quantum_for_a_visitor_that_knows_it() {
    let (scene, _nginx) = scene::start();
    let _published = scene::publish(&scene);
    let script = scene.lab.file("group.py", GROUP);
    let mut command = scene.lab.visitor.command(python());
    command.arg(script).args([HOST, &scene::roots(&scene)]);
    assert_eq!(must_run(&mut command).trim(), "TLSv1.3 X25519MLKEM768");
}

/// What sslyze found.
struct Scan(Value);

impl Scan {
    fn of(scene: &Secured) -> Self {
        let report = scene.lab.path().join("sslyze.json");
        let mut command = scene.lab.visitor.command(python());
        command.args(["-m", "sslyze", "--mozilla_config", "disable", "--quiet", "--json_out"]);
        command.arg(&report).arg("--certinfo_ca_file").arg(scene.authority.roots());
        command.args(COMMANDS).arg(format!("{HOST}:443"));
        must_run(&mut command);
        let text = std::fs::read_to_string(&report).unwrap();
        let scan = Self(serde_json::from_str(&text).unwrap());
        let status = scan.0.pointer("/server_scan_results/0/scan_status");
        assert_eq!(status.and_then(Value::as_str), Some("COMPLETED"), "{text}");
        scan
    }

    /// Of one command, which must have run to its end.
    fn result(&self, path: &str) -> &Value {
        let command = path.split('/').nth(1).unwrap_or_default();
        let at = |path: &str| self.0.pointer(&format!("/server_scan_results/0/scan_result{path}"));
        let status = at(&format!("/{command}/status")).and_then(Value::as_str);
        assert_eq!(status, Some("COMPLETED"), "{command}: {:?}", at(&format!("/{command}")));
        at(path).unwrap_or_else(|| panic!("no {path} in what sslyze found"))
    }

    fn protocols(&self) -> BTreeSet<&'static str> {
        let all = PROTOCOLS.into_iter();
        all.filter(|protocol| {
            let path = format!("/{protocol}/result/is_tls_version_supported");
            self.result(&path).as_bool().unwrap()
        })
        .collect()
    }

    /// Authenticated encryption, ephemeral keys.
    fn demand_strong_suites(&self) {
        let mut seen = 0;
        for protocol in PROTOCOLS {
            let path = format!("/{protocol}/result/accepted_cipher_suites");
            for accepted in self.result(&path).as_array().unwrap() {
                let name = accepted.pointer("/cipher_suite/name").and_then(Value::as_str).unwrap();
                let of_old = name.starts_with("TLS_ECDHE_ECDSA_WITH_");
                assert!(of_old || protocol == "tls_1_3_cipher_suites", "{name}");
                assert!(name.contains("_GCM_") || name.contains("CHACHA20_POLY1305"), "{name}");
                seen += 1;
            }
        }
        assert!(seen >= 3, "{seen} suites");
    }

    /// Those that sslyze knows; the post-quantum one is not among them.
    fn demand_curves(&self) {
        let supported = self.result("/elliptic_curves/result/supported_curves").as_array().unwrap();
        let names: BTreeSet<_> =
            supported.iter().filter_map(|curve| curve.get("name")?.as_str()).collect();
        assert_eq!(names, BTreeSet::from(["X25519", "secp256r1", "secp384r1"]));
    }

    /// Leaf and intermediate in order, the root left out, trusted by who trusts the root.
    fn demand_chain(&self) {
        let deployments =
            self.result("/certificate_info/result/certificate_deployments").as_array().unwrap();
        let [deployment] = deployments.as_slice() else { panic!("{deployments:?}") };
        let at = |path: &str| deployment.pointer(path).unwrap();
        assert_eq!(at("/received_certificate_chain").as_array().unwrap().len(), 2);
        assert_eq!(at("/received_chain_has_valid_order").as_bool(), Some(true));
        assert_eq!(at("/received_chain_contains_anchor_certificate").as_bool(), Some(false));
        assert_eq!(at("/verified_chain_has_sha1_signature").as_bool(), Some(false));
        let names = at("/received_certificate_chain/0/subject_alternative_name/dns_names");
        assert!(names.as_array().unwrap().iter().any(|name| name == HOST), "{names}");
        let validations = at("/path_validation_results").as_array().unwrap();
        let trusted = validations.iter().any(|validation| {
            validation.pointer("/was_validation_successful").and_then(Value::as_bool) == Some(true)
        });
        assert!(trusted, "{validations:?}");
    }

    fn demand_no_weakness(&self) {
        for (path, wanted) in WEAKNESSES {
            let found = self.result(path);
            assert_eq!(found, &Value::from(wanted), "{path}");
        }
        let robot = self.result("/robot/result/robot_result").as_str().unwrap();
        assert!(robot.starts_with("NOT_VULNERABLE"), "{robot}");
    }
}

/// What `cargo xtask setup` makes.
fn python() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/python/bin/python");
    assert!(python.exists(), "no {}: cargo xtask setup", python.display());
    python
}

const PROTOCOLS: [&str; 6] = [
    "ssl_2_0_cipher_suites",
    "ssl_3_0_cipher_suites",
    "tls_1_0_cipher_suites",
    "tls_1_1_cipher_suites",
    "tls_1_2_cipher_suites",
    "tls_1_3_cipher_suites",
];

const COMMANDS: [&str; 16] = [
    "--sslv2",
    "--sslv3",
    "--tlsv1",
    "--tlsv1_1",
    "--tlsv1_2",
    "--tlsv1_3",
    "--certinfo",
    "--elliptic_curves",
    "--compression",
    "--early_data",
    "--heartbleed",
    "--openssl_ccs",
    "--robot",
    "--reneg",
    "--fallback",
    "--ems",
];

const WEAKNESSES: [(&str, bool); 5] = [
    ("/tls_compression/result/supports_compression", false),
    ("/tls_1_3_early_data/result/supports_early_data", false),
    ("/heartbleed/result/is_vulnerable_to_heartbleed", false),
    ("/openssl_ccs_injection/result/is_vulnerable_to_ccs_injection", false),
    ("/session_renegotiation/result/is_vulnerable_to_client_renegotiation_dos", false),
];

/// Shakes hands as OpenSSL 3.5 does by itself, and says what was agreed on.
const GROUP: &str = r#"
import socket, sys
from OpenSSL import SSL
host, roots = sys.argv[1:]
context = SSL.Context(SSL.TLS_CLIENT_METHOD)
context.load_verify_locations(roots)
context.set_verify(SSL.VERIFY_PEER)
connection = SSL.Connection(context, socket.create_connection((host, 443), 10))
connection.setblocking(True)
connection.set_tlsext_host_name(host.encode())
connection.set_connect_state()
connection.do_handshake()
print(connection.get_protocol_version_name(), connection.get_group_name())
"#;
