//! nginx with a private configuration.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::lab::Lab;
use crate::namespace::Namespace;
use crate::process::Process;

/// A web server: `/` greets, `/visitor` says what it was told of the visitor, `/host` what it was called, `/files/` serves and `/uploads/` takes (PUT) files, `/small/` small ones.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    uploads: PathBuf,
}

impl Nginx {
    /// Starts it in the agent's namespace; `files` are served below `/files/`.
    pub fn start(lab: &Lab, port: u16, files: &Path) -> Self {
        Self::start_in(&lab.agent, lab, port, files)
    }

    /// Starts it anywhere.
    pub fn start_in(namespace: &Namespace, lab: &Lab, port: u16, files: &Path) -> Self {
        let folder = lab.folder(&format!("nginx-{}-{port}", namespace.label()));
        let uploads = folder.join("uploads");
        fs::create_dir_all(&uploads).expect("a folder for uploads");
        open_to_workers(lab.path());
        let configuration = folder.join("nginx.conf");
        fs::write(&configuration, text(&folder, port, files)).expect("a configuration");
        let mut command = namespace.command("nginx");
        command.arg("-c").arg(&configuration).arg("-e").arg(folder.join("error.log"));
        let process = Process::start("nginx", command);
        super::wait_for_port(namespace, port);
        Self { process, uploads }
    }

    /// Where an upload to `/uploads/NAME` ends up.
    pub fn upload(&self, name: &str) -> PathBuf {
        self.uploads.join(name)
    }

    /// Ends it.
    pub fn stop(mut self) {
        self.process.kill();
    }
}

/// One process without a master, so that what is started is what is killed.
fn text(folder: &Path, port: u16, files: &Path) -> String {
    let (folder, files) = (folder.display(), files.display());
    format!(
        "user root; daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 2000; }}
http {{
  access_log {folder}/access.log; keepalive_requests 1000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi; client_max_body_size 6g;
  server {{
    listen {port}; listen [::]:{port};
    location / {{ return 200 'nginx behind bore\\n'; }}
    location = /visitor {{ return 200 'for=$http_x_forwarded_for address=$remote_addr host=$host\\n'; }}
    location = /host {{ return 200 'host=$http_host for-host=$http_x_forwarded_host\\n'; }}
    location /files/ {{ alias {files}/; }}
    location /uploads/ {{ alias {folder}/uploads/; dav_methods PUT; client_body_temp_path {folder}/uploads/body; }}
    location /small/ {{ alias {folder}/uploads/; dav_methods PUT; client_max_body_size 1k; }}
  }}
}}"
    )
}

fn open_to_workers(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("the owner may");
}
