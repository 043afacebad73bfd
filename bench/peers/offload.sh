#!/bin/bash
# usage: [SECS=4] [WORK=dir] [LINKS="off dropped"] offload.sh BINARY [BINARY ...]     (root) Bulk through links that segment, links that do not, and a path that drops segmented datagrams.
# Each BINARY is a build of this project. Columns: binary, links, flows, direction, Mbit/s, s of processor a GiB, longest time without a byte in s.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"; . "$HERE/peers.sh"; umask 077
SECS=${SECS:-4}; PEER=ours
links() { # on | one-segment | off | dropped
  for x in "pbpub pbv0" "pbrel pbv1" "pbrel pbv2" "pbagt pbv3"; do set -- $1 $x
    ip -n $2 link set $3 gso_max_segs $([ $1 = one-segment ] && echo 1 || echo 65535)
    local o=on; [ $1 = off ] && o=off
    ip netns exec $2 ethtool -K $3 tso $o gso $o gro $o tx-udp-segmentation $o >/dev/null 2>&1
  done
  for f in R A; do $f nft flush ruleset; [ $1 != dropped ] || $f nft -f - <<N
table inet path {
 chain in {
  type filter hook prerouting priority -300
  meta l4proto udp meta length > 2000 counter drop
 }
}
N
  done
}
measure() { # flows flags
  local c0 c1; c0=$(cpu_of $(rel_pids) $(agt_pids))
  P timeout $((SECS+10)) iperf3 -c $REL -p 5201 -P $1 $2 -t $SECS -i 0.1 -J > "$WORK/j" 2>/dev/null
  c1=$(cpu_of $(rel_pids) $(agt_pids))
  python3 - "$WORK/j" $(((c1-c0)*1000/HZ)) <<'Y'
import json,sys
try:
  r=json.load(open(sys.argv[1])); e=r["end"]["sum_received"]; gap=worst=0
  for i in r["intervals"]:
    s=i["sum"]; gap=0 if s["bytes"] else gap+s["seconds"]; worst=max(worst,gap)
  print("%.0f\t%.2f\t%.1f" % (e["bits_per_second"]/1e6, int(sys.argv[2])/1000/max(e["bytes"]/2**30,1e-9), worst))
except Exception as x: print("failed\t%s\t-" % x)
Y
}
trap net_down EXIT; net_down; net_up; origin_up
for mode in ${LINKS:-on one-segment off dropped}; do
  for BORE in "$@"; do
    links on; HOST=$REL; ours_rel; sleep 0.6; links $mode; ours_agt
    P $T ready $REL 7100 12000 >/dev/null
    for n in 1 8; do for d in "" -R; do printf '%s\t%s\t%s\t%s\t' "$(basename $BORE)" $mode $n "${d:+down}"; measure $n "$d"; done; done
    peer_kill
  done
done
