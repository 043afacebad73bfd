# One function per peer: X_rel (server side), X_agt (agent side). UDP=1 where the peer carries UDP.
# Binaries come from PATH or $PEERS_BIN; a peer whose binary is missing is skipped.
has() { command -v "$1" >/dev/null; }
direct_need=true; direct_rel() { HOST=$ORG; }; direct_agt() { :; }; direct_udp=1
haproxy_need=haproxy
haproxy_rel() { { echo "global
 nbthread 2
 maxconn 4000
defaults
 mode tcp
 timeout connect 3s
 timeout client 300s
 timeout server 300s"; for p in $PORTS; do echo "listen l$p
 bind 0.0.0.0:$p backlog 8192
 server s $ORG:$p"; done; } > "$WORK/haproxy.cfg"; bgR haproxy -db -f "$WORK/haproxy.cfg"; }
haproxy_agt() { :; }
socat_need=socat; socat_rel() { for p in $PORTS; do bgR socat TCP-LISTEN:$p,fork,reuseaddr,backlog=4096,nodelay TCP:$ORG:$p,nodelay; done; }; socat_agt() { :; }
ekbore_need=bore; ekbore_rel() { bgR bore server --min-port 1024 --max-port 65535; }
ekbore_agt() { for p in $PORTS; do bgA bore local $p --to $RELA --port $p; done; }
rat_conf() { # type
  local tr=""; case $1 in noise) local kp; kp=$(rathole --genkey); RPK=$(echo "$kp" | awk '/Public/{getline; print}'); RSK=$(echo "$kp" | awk '/Private/{getline; print}');; esac
  { echo "[server]
bind_addr = \"0.0.0.0:2333\"
default_token = \"t\""; [ $1 = noise ] && echo "[server.transport]
type = \"noise\"
[server.transport.noise]
local_private_key = \"$RSK\""
    for p in $PORTS; do echo "[server.services.s$p]
bind_addr = \"0.0.0.0:$p\""; done; echo "[server.services.u]
type = \"udp\"
bind_addr = \"0.0.0.0:7100\""; } > "$WORK/rs.toml"
  { echo "[client]
remote_addr = \"$RELA:2333\"
default_token = \"t\""; [ $1 = noise ] && echo "[client.transport]
type = \"noise\"
[client.transport.noise]
remote_public_key = \"$RPK\""
    for p in $PORTS; do echo "[client.services.s$p]
local_addr = \"127.0.0.1:$p\""; done; echo "[client.services.u]
type = \"udp\"
local_addr = \"127.0.0.1:7100\""; } > "$WORK/rc.toml"; }
rathole_need=rathole; rathole_udp=1; rathole_rel() { rat_conf tcp; RUST_LOG=error bgR rathole --server "$WORK/rs.toml"; }; rathole_agt() { RUST_LOG=error bgA rathole --client "$WORK/rc.toml"; }
ratholenoise_need=rathole; ratholenoise_udp=1; ratholenoise_rel() { rat_conf noise; RUST_LOG=error bgR rathole --server "$WORK/rs.toml"; }; ratholenoise_agt() { rathole_agt; }
frp_conf() { # tls
  printf '[common]\nbind_addr = 0.0.0.0\nbind_port = 7000\ntoken = t\nlog_level = error\n' > "$WORK/frps.ini"
  { printf '[common]\nserver_addr = %s\nserver_port = 7000\ntoken = t\nlog_level = error\ntls_enable = %s\npool_count = 5\n' $RELA $1
    for p in $PORTS; do printf '[s%s]\ntype = tcp\nlocal_ip = 127.0.0.1\nlocal_port = %s\nremote_port = %s\n' $p $p $p; done
    printf '[u]\ntype = udp\nlocal_ip = 127.0.0.1\nlocal_port = 7100\nremote_port = 7100\n'; } > "$WORK/frpc.ini"; }
frp_need=frps; frp_udp=1; frp_rel() { frp_conf false; bgR frps -c "$WORK/frps.ini"; }; frp_agt() { bgA frpc -c "$WORK/frpc.ini"; }
frptls_need=frps; frptls_udp=1; frptls_rel() { frp_conf true; bgR frps -c "$WORK/frps.ini"; }; frptls_agt() { frp_agt; }
chisel_need=chisel; chisel_udp=1; chisel_rel() { bgR chisel server --host 0.0.0.0 --port 9000 --reverse; }
chisel_agt() { local r=(); for p in $PORTS; do r+=(R:0.0.0.0:$p:127.0.0.1:$p); done; bgA chisel client http://$RELA:9000 "${r[@]}" R:0.0.0.0:7100:127.0.0.1:7100/udp; }
wstunnel_need=wstunnel; wstunnel_udp=1; wstunnel_rel() { bgR wstunnel --log-lvl OFF server ws://0.0.0.0:9001; }
wstunnel_agt() { local r=(); for p in $PORTS; do r+=(-R tcp://0.0.0.0:$p:127.0.0.1:$p); done; bgA wstunnel --log-lvl OFF client "${r[@]}" -R udp://0.0.0.0:7100:127.0.0.1:7100 ws://$RELA:9001; }
ssh_need=sshd
ssh_rel() { mkdir -p /run/sshd "$WORK/ssh"; [ -f "$WORK/ssh/h" ] || { ssh-keygen -qt ed25519 -N '' -f "$WORK/ssh/h"; ssh-keygen -qt ed25519 -N '' -f "$WORK/ssh/u"; }
  printf 'Port 2222\nHostKey %s\nAuthorizedKeysFile %s\nGatewayPorts yes\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nPidFile none\nAllowTcpForwarding yes\n' "$WORK/ssh/h" "$WORK/ssh/u.pub" > "$WORK/ssh/c"
  bgR "$(command -v sshd)" -D -e -f "$WORK/ssh/c"; }
ssh_agt() { local r=(); for p in $PORTS; do r+=(-R 0.0.0.0:$p:127.0.0.1:$p); done
  bgA ssh -N -p 2222 -i "$WORK/ssh/u" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ExitOnForwardFailure=yes -o Compression=no "${r[@]}" root@$RELA; }
# ---- WireGuard family: relay 10.9.0.1, agent 10.9.0.2; kernel DNAT publishes unless a userspace stack does
wgkeys() { [ -f "$WORK/kR" ] || { wg genkey > "$WORK/kR"; wg genkey > "$WORK/kA"; wg pubkey < "$WORK/kR" > "$WORK/pR"; wg pubkey < "$WORK/kA" > "$WORK/pA"; }; }
wgstart() { case $2 in # ns-fn impl ifname
  go) WG_PROCESS_FOREGROUND=1 bg$1 wireguard-go -f $3;; boring) WG_SUDO=1 bg$1 boringtun-cli -f --disable-drop-privileges ${BT_ARGS:-} $3;; gota) bg$1 gotatun -f --disable-drop-privileges $3;; esac
  local i; for i in $(seq 200); do [ -S /var/run/wireguard/$3.sock ] && wg show $3 >/dev/null 2>&1 && break; sleep 0.01; done; }
wgR() { wgkeys; wgstart R $1 wgR; wg set wgR listen-port 51820 private-key "$WORK/kR" peer $(cat "$WORK/pA") allowed-ips 10.9.0.2/32; ip -n pbrel addr add 10.9.0.1/24 dev wgR; ip -n pbrel link set wgR mtu 1420 up; dnat 10.9.0.2 wgR; }
wgA() { wgkeys; wgstart A $1 wgA; wg set wgA listen-port 51820 private-key "$WORK/kA" peer $(cat "$WORK/pR") allowed-ips 10.9.0.1/32 endpoint $RELA:51820 persistent-keepalive 25; ip -n pbagt addr add 10.9.0.2/24 dev wgA; ip -n pbagt link set wgA mtu 1420 up; A ping -q -c 2 -i 0.2 -W 1 10.9.0.1 >/dev/null 2>&1 & }
wggo_need=wireguard-go; wggo_udp=1; wggo_rel() { wgR go; }; wggo_agt() { wgA go; }
boringtun_need=boringtun-cli; boringtun_udp=1; boringtun_rel() { wgR boring; }; boringtun_agt() { wgA boring; }
gotatun_need=gotatun; gotatun_udp=1; gotatun_rel() { wgR gota; }; gotatun_agt() { wgA gota; }
# WireGuard on the agent (TUN), relay with a userspace TCP stack and no TUN: the shape closest to bore's relay
onetun_need=onetun; onetun_udp=1
onetun_rel() { wgkeys; local r=(); for p in 5201 8080; do r+=(0.0.0.0:$p:10.9.0.2:$p); done
  bgR onetun "${r[@]}" 0.0.0.0:7100:10.9.0.2:7100:TCP,UDP --endpoint-addr $ORG:51820 --endpoint-bind-addr 0.0.0.0:51820 --endpoint-public-key $(cat "$WORK/pA") --private-key $(cat "$WORK/kR") --source-peer-ip 10.9.0.1 --keep-alive 10 --log error; }
onetun_agt() { wgA go; }
singbox_need=sing-box; singbox_udp=1
singbox_rel() { wgkeys; python3 - "$(cat "$WORK/kR")" "$(cat "$WORK/pA")" > "$WORK/sb.json" <<'Y'
import json,sys
ib=[{"type":"direct","tag":f"i{p}","listen":"0.0.0.0","listen_port":p,"override_address":"10.9.0.2","override_port":p} for p in (5201,8080,7100)]
print(json.dumps({"log":{"level":"error"},"inbounds":ib,"endpoints":[{"type":"wireguard","tag":"wg","system":False,"mtu":1420,"address":["10.9.0.1/24"],"private_key":sys.argv[1],"listen_port":51820,"peers":[{"public_key":sys.argv[2],"allowed_ips":["10.9.0.2/32"]}]}],"route":{"final":"wg"}}))
Y
  bgR sing-box run -c "$WORK/sb.json"; }
singbox_agt() { wgA go; }
# ---- other TUN overlays with kernel DNAT
nebula_need=nebula; nebula_udp=1
nebula_rel() { mkdir -p "$WORK/neb"; ( cd "$WORK/neb"; [ -f ca.crt ] || { nebula-cert ca -name pb; nebula-cert sign -name rel -ip 10.9.0.1/24; nebula-cert sign -name agt -ip 10.9.0.2/24; } ) >/dev/null
  for s in rel agt; do { printf 'pki: {ca: %s/ca.crt, cert: %s/%s.crt, key: %s/%s.key}\n' "$WORK/neb" "$WORK/neb" $s "$WORK/neb" $s
    printf 'static_host_map: {"10.9.0.1": ["%s:4242"]}\nlisten: {host: 0.0.0.0, port: 4242}\n' $RELA
    [ $s = rel ] && printf 'lighthouse: {am_lighthouse: true}\n' || printf 'lighthouse: {am_lighthouse: false, interval: 60, hosts: ["10.9.0.1"]}\n'
    printf 'tun: {dev: %s, mtu: 1420}\nlogging: {level: error, format: text}\nfirewall: {outbound: [{port: any, proto: any, host: any}], inbound: [{port: any, proto: any, host: any}]}\n' $([ $s = rel ] && echo nebR || echo nebA); } > "$WORK/neb/$s.yml"; done
  bgR nebula -config "$WORK/neb/rel.yml"; for i in $(seq 100); do ip -n pbrel link show nebR >/dev/null 2>&1 && break; sleep 0.02; done; dnat 10.9.0.2 nebR; }
nebula_agt() { bgA nebula -config "$WORK/neb/agt.yml"; }
openvpn_need=openvpn; openvpn_udp=1
openvpn_rel() { mkdir -p "$WORK/ov"; ( cd "$WORK/ov"; for s in R A; do [ -f $s.crt ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=$s -keyout $s.key -out $s.crt; done ) 2>/dev/null
  FR=$(openssl x509 -in "$WORK/ov/R.crt" -noout -fingerprint -sha256 | cut -d= -f2); FA=$(openssl x509 -in "$WORK/ov/A.crt" -noout -fingerprint -sha256 | cut -d= -f2)
  bgR openvpn --dev-type tun --dev ovR --ifconfig 10.9.0.1 10.9.0.2 --proto udp --port 1194 --tls-server --dh none --cert "$WORK/ov/R.crt" --key "$WORK/ov/R.key" --peer-fingerprint $FA --sndbuf 4194304 --rcvbuf 4194304 --txqueuelen 1000 --verb 0
  for i in $(seq 100); do ip -n pbrel link show ovR >/dev/null 2>&1 && break; sleep 0.02; done; dnat 10.9.0.2 ovR; }
openvpn_agt() { bgA openvpn --dev-type tun --dev ovA --ifconfig 10.9.0.2 10.9.0.1 --proto udp --remote $RELA 1194 --tls-client --cert "$WORK/ov/A.crt" --key "$WORK/ov/A.key" --peer-fingerprint $FR --sndbuf 4194304 --rcvbuf 4194304 --txqueuelen 1000 --verb 0; }
# ---- this project; ekzhang's binary is called bore too, so ours goes by its path: BORE=target/release/bore
BORE=${BORE:-$HERE/../../target/release/bore}
ours_need=$BORE; ours_udp=1
ours_rel() { rm -rf "$WORK/ours"; mkdir -p "$WORK/ours"
  R "$BORE" -q relay init --host $RELA --config "$WORK/ours/relay.toml" --relay-state "$WORK/ours/relay" --overlay-listen '[::]:4443' > "$WORK/ours/key" 2>>"$WORK/rel.log"
  printf '[publish.bulk]\ntcp = 5201\n[publish.web]\ntcp = 8080\n[publish.echo]\ntcp = 7100\n[publish.echo-udp]\nudp = 7100\n' > "$WORK/ours/bore.toml"
  bgR "$BORE" -q relay run --config "$WORK/ours/relay.toml"; }
ours_agt() { bgA bash -c "'$BORE' -q join --key-file '$WORK/ours/key' --state '$WORK/ours/agent' &
  until [ -S '$WORK/ours/agent/agent.sock' ]; do sleep 0.01; done; '$BORE' -q up -f '$WORK/ours/bore.toml' --state '$WORK/ours/agent'; wait"; }
ALL="direct ours haproxy socat ekbore rathole ratholenoise frp frptls chisel wstunnel ssh wggo boringtun gotatun onetun singbox nebula openvpn"
