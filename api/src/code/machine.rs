//! Codes of this machine and the command line.

use super::{Code, Entry, Exit, codes};

codes! {
    INTERNAL = "B1000" {
        exit: Internal, status: 500,
        title: "internal error",
        meaning: "bore failed in a way that it did not foresee. This is a fault of bore.",
        causes: ["a bug", "two parts of different versions that disagree about a message"],
        next: ["run it again with -v and report what it prints", "bore doctor"],
    }
    USAGE = "B1001" {
        exit: Usage, status: 422,
        title: "wrong use of the command line",
        meaning: "The command, a flag or a value is not understood, or two of them exclude one another.",
        causes: ["a typing mistake", "a flag of another command"],
        next: ["bore help, or the command with --help"],
    }
    FILE = "B1002" {
        exit: Internal, status: 500,
        title: "a file or the terminal cannot be used",
        meaning: "The operating system refused to read or write something that the command needs.",
        causes: ["missing rights", "a folder that does not exist", "a full disk", "output into a closed pipe"],
        next: ["look at the cause, then check path, rights and free space"],
    }
    CONFIGURATION = "B1003" {
        exit: Usage, status: 422,
        title: "a configuration file is wrong",
        meaning: "bore.toml, or the user's or the system's config.toml, does not parse or names something unknown. All mistakes of the file are listed at once; nothing of it was used.",
        causes: ["a typing mistake in a key", "a key of another section", "a value of the wrong kind"],
        next: ["correct the lines named, then bore up --dry-run"],
    }
    INPUT_NEEDED = "B1004" {
        exit: Usage, status: 422,
        title: "input is needed, and nobody can be asked",
        meaning: "The command needs a secret or an answer, and --no-input was given or standard input is not a terminal.",
        causes: ["a script without --key-file", "a missing environment variable"],
        next: ["give it by file: --key-file FILE, or by standard input: -"],
    }
    NEEDS_ROOT = "B1005" {
        exit: Usage, status: 422,
        title: "needs root",
        meaning: "The command changes the system (a user, a systemd unit) and runs as an ordinary user.",
        causes: ["no sudo"],
        next: ["the same command with sudo in front, or with --print to look first"],
    }
    INTERRUPTED = "B1006" {
        exit: Interrupted, status: 500,
        title: "interrupted",
        meaning: "Ctrl-C or a termination signal arrived before the work was done. What would have ended with the command was taken back; what is to stay (--bg, bore up) may be published.",
        causes: ["Ctrl-C"],
        next: ["bore ls shows what is published; run it again, or bore rm NAME"],
    }
    COMMAND_NOT_STARTED = "B1007" {
        exit: Usage, status: 422,
        title: "the command could not be started",
        meaning: "`bore run -- CMD` could not start CMD. Nothing stays published.",
        causes: ["CMD is not on PATH", "CMD is not executable"],
        next: ["check the spelling after --, and that the file is executable"],
    }
    NOT_JOINED = "B1008" {
        exit: Usage, status: 409,
        title: "this machine has not joined",
        meaning: "The command needs the identity that `bore join` makes, and the state folder has none.",
        causes: ["bore join was never run here", "another user or another --state folder joined"],
        next: [
            "bore join --key-file FILE, with a key of `bore key create` on the relay",
            "give the folder that joined: --state DIR",
        ],
    }
    NO_AGENT = "B1009" {
        exit: Usage, status: 409,
        title: "no agent is running",
        meaning: "The command speaks with the agent of this machine, and nothing listens on agent.sock in the state folder.",
        causes: ["the agent stopped", "it runs as another user, with another state folder"],
        next: [
            "bore join, or bore service install to have it run always",
            "give its folder: --state DIR",
        ],
    }
    EXISTS_ALREADY = "B1010" {
        exit: Usage, status: 422,
        title: "something is there already",
        meaning: "The command would overwrite a file or a relay that exists.",
        causes: ["relay init ran before on this machine"],
        next: ["use what is there, or name another folder"],
    }
    DOCTOR_CHECK_FAILED = "B1011" {
        exit: Internal, status: 500,
        title: "a check of bore doctor failed",
        meaning: "At least one line of the report is marked as failed; each says what to do.",
        causes: ["see the report"],
        next: ["follow the lines marked as failed, then run bore doctor again"],
    }
    SYSTEM_COMMAND = "B1012" {
        exit: Internal, status: 500,
        title: "a system command failed",
        meaning: "A program of the operating system that bore called (useradd, systemctl) answered with an error.",
        causes: ["no systemd on this machine", "missing rights"],
        next: ["look at the cause, or do the steps of --print by hand"],
    }
    NO_RELAY_HERE = "B1013" {
        exit: Usage, status: 422,
        title: "no relay is set up here",
        meaning: "The command works on the relay of this machine, and its configuration or its keys are not there.",
        causes: [
            "relay init was never run here",
            "another --config",
            "the file is not readable by this user",
        ],
        next: ["bore relay init --host NAME_OR_ADDRESS", "name the file: --config FILE"],
    }
    CANNOT_LISTEN = "B1014" {
        exit: Taken, status: 409,
        title: "the relay cannot listen",
        meaning: "A socket of the relay cannot be opened.",
        causes: [
            "another program, or another relay, has the port",
            "a port below 1024 without the right to bind it",
        ],
        next: [
            "see who has it: ss -lntup; or choose another port in relay.toml",
            "for ports below 1024: bore relay install gives the service the right",
        ],
    }
    CERTIFICATE_FILE = "B1015" {
        exit: Usage, status: 422,
        title: "a certificate cannot be served",
        meaning: "A certificate or key that relay.toml names in [tls] certificate_files cannot be used. A relay that runs keeps the certificate that it has; one that starts stops here.",
        causes: [
            "a wrong path, or a file that the relay's user may not read",
            "the key of another certificate",
            "a certificate without subjectAltName",
        ],
        next: ["correct the file that is named, or take the entry out of certificate_files"],
    }
}
