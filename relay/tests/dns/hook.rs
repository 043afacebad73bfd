//! A hook of an operator's: here it runs nsupdate.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bore_relay::dns::TxtRecords;
use bore_relay::dns::exec::Exec;
use bore_relay::dns::lookups::Lookups;

use crate::bind::{Bind, SECRET};
use crate::dig::dig;

#[tokio::test]
async fn a_hook_publishes_and_withdraws() {
    let bind = Bind::start();
    let hook = script(
        &bind,
        &format!(
            "#!/bin/sh\ncase $1 in publish) verb=add; rest=\"60 TXT $3\";; withdraw) verb=delete; rest=\"TXT $3\";; esac\n\
         printf 'server {} {}\\nzone t.example.org\\nupdate %s %s %s\\nsend\\n' \"$verb\" \"$2\" \"$rest\" | nsupdate -y hmac-sha256:bore-key:{SECRET}\n",
            bind.at.ip(),
            bind.at.port()
        ),
    );
    let records = exec(&bind, &hook);
    records.publish(NAME, "proof").await.unwrap();
    let dug = dig(bind.at, &format!("{NAME} TXT")).await;
    assert_eq!(dug.answers(), [format!("{NAME}. 60 IN TXT \"proof\"")]);
    records.withdraw(NAME, "proof").await.unwrap();
    assert_eq!(dig(bind.at, &format!("{NAME} TXT")).await.status(), "NXDOMAIN");
}

#[tokio::test]
async fn a_hook_that_fails_is_told_in_its_own_words() {
    let bind = Bind::start();
    let hook = script(&bind, "#!/bin/sh\necho \"no credit left\" >&2\nexit 3\n");
    let error = exec(&bind, &hook).publish(NAME, "proof").await.unwrap_err().to_string();
    assert!(error.contains("exit status: 3") && error.contains("no credit left"), "{error}");
    let error = exec(&bind, Path::new("/absent/hook")).publish(NAME, "proof").await.unwrap_err();
    assert!(error.to_string().contains("did not run"), "{error}");
}

#[tokio::test]
async fn nothing_in_a_value_is_read_as_a_command() {
    let bind = Bind::start();
    let seen = bind.file("seen", "");
    let hook = script(
        &bind,
        &format!("#!/bin/sh\nprintf '%s|%s|%s' \"$1\" \"$2\" \"$3\" > {}\n", seen.display()),
    );
    let value = "$(touch /tmp/bore-never); `id` | & \"'";
    exec(&bind, &hook).withdraw("a b", value).await.unwrap();
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), format!("withdraw|a b|{value}"));
}

fn script(bind: &Bind, text: &str) -> PathBuf {
    let path = bind.file("hook", text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

fn exec(bind: &Bind, hook: &Path) -> Exec {
    Exec::new(hook, Lookups::through(bind.at, bind.at.port()).unwrap())
}

const NAME: &str = "_acme-challenge.t.example.org";
