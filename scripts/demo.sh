#!/usr/bin/env bash
# Shows what Stonevault does, in a temporary directory, and stops at the first step that does not do what
# it claims. What it prints after "$ " are the very commands that it runs.
set -euo pipefail
bin=$(cd "$(dirname "$0")/../bin" && pwd)
work=$(mktemp -d)
top=$(cd "$(dirname "$0")/.." && pwd)
server=
node=
finish() {
	status=$?
	for process in $server $node; do
		kill "$process" 2>/dev/null || true
		wait "$process" 2>/dev/null || true
	done
	rm -rf "$work"
	exit "$status"
}
trap finish EXIT
cd "$work"
export PATH="$bin:$PATH" STONEVAULT_HOME="$work/home" NO_COLOR=1
# Nobody's keyring: the demonstration leaves nothing behind.
unset DBUS_SESSION_BUS_ADDRESS
umask 077

# shorten leaves out where the temporary directory is.
shorten() { sed "s|$work/||g; s|$work|.|g"; }

say() { printf '\n# %s\n' "$*"; }

# step shows a command line, runs it, and demands its exit code: step CODE COMMAND.
step() {
	local want=$1 got=0
	printf '$ %s\n' "$2" | shorten
	eval "$2" >output 2>&1 || got=$?
	shorten <output
	[ "$want" = 0 ] || printf '(exit code %s)\n' "$got"
	[ "$got" = "$want" ] || { echo "This should have ended with exit code $want, and ended with $got." >&2; exit 1; }
}

# spoil changes one byte of a file, whatever it was.
spoil() {
	local byte=X
	[ "$(dd if="$1" bs=1 skip="$2" count=1 status=none | od -An -c | tr -d ' ')" != X ] || byte=Y
	step 0 "printf $byte | dd of=$1 bs=1 seek=$2 conv=notrunc status=none"
}

printf 'The combination of the safe is 17-4-31.\n' >letter.txt

# await waits until a server has written its address.
await() {
	for _ in {1..300}; do
		[ ! -f address ] || break
		kill -0 "$server" 2>/dev/null || { cat server.log >&2; exit 1; }
		sleep 0.1
	done
	url=http://$(cat address)
}

# stop ends the server in order.
stop() {
	local stopped=0
	step 0 'kill $(cat data/lock)'
	wait "$server" || stopped=$?
	server=
	[ "$stopped" = 0 ] || { cat server.log >&2; exit 1; }
}

say 'A server on an empty directory. It prints a password and the recovery sheet, once.'
step 0 'stonevaultd serve --data data --listen 127.0.0.1:0 --addr-file address --create-admin >sheet.txt 2>server.log &'
server=$!
await
address=$(cat address)

say 'Sign in, put a file, list it, get it back byte for byte.'
step 0 "sed -n 's/^Password: *//p' sheet.txt | stonevault login --server $url --user admin --password-stdin"
step 0 'stonevault put letter.txt --as /safe/letter.txt'
step 0 'stonevault ls /safe'
step 0 'stonevault get /safe/letter.txt -o copy.txt'
step 0 'cmp letter.txt copy.txt && echo the same'

say 'What a thief of the disk reads.'
step 1 'grep -r combination data'

say 'One byte of the stored file is changed: nothing of it comes out. Put back, it does.'
body=$(echo data/objects/*/*.body)
cp "$body" saved
spoil "$body" 150
step 2 'stonevault get /safe/letter.txt -o broken.txt'
step 2 'stonevault verify /safe/letter.txt'
[ ! -e broken.txt ] || { echo 'Something is at the name of the output.' >&2; exit 1; }
step 0 "cp saved $body && stonevault verify /safe/letter.txt"

say 'What happened is in a log that nobody can rewrite. A receipt proves an event with no server.'
step 0 'stonevault audit log --type file. --limit 3'
event=$(stonevault audit log --type file.put --limit 1 | awk '{ print $1 }')
step 0 "stonevault audit receipt $event -o put.tlog-proof"
step 0 'stonevault audit receipt --check put.tlog-proof'
sed "s/^index $event\$/index 0/" put.tlog-proof >forged.tlog-proof
step 2 'stonevault audit receipt --check forged.tlog-proof'
step 0 'stonevault audit verify'

say 'Without a server: Ann seals a file for Bob.'
step 0 'stonevault keygen --no-passphrase -o ann.id'
step 0 'stonevault keygen --no-passphrase -o bob.id'
step 0 'stonevault keygen --public ann.id >ann.pub'
step 0 'stonevault keygen --public bob.id >bob.pub'
step 0 'stonevault seal -R bob.pub --sign ann.id -o letter.stone letter.txt'
step 0 'stonevault open -i bob.id --from ann.pub -o opened.txt letter.stone'
step 0 'cmp letter.txt opened.txt && echo the same'
spoil letter.stone 150
step 2 'stonevault open -i bob.id --from ann.pub -o forged.txt letter.stone'
[ ! -e forged.txt ] || { echo 'Something is at the name of the output.' >&2; exit 1; }

say 'Stop the server.'
stop
step 0 'tail -n 1 server.log'

say 'One byte of the log is changed behind the back of the server, and found. Put back, all is well.'
leaf=$(sed -n 's/^extra //p' put.tlog-proof | base64 -d | head -c 108 | od -An -v -tx1 | tr -d '\n')
for piece in "${leaf:36:24}" "${leaf:60:24}" "${leaf:84:24}" "${leaf:132:24}"; do # eight bytes of its commitments
	[[ $piece == *0a* ]] || break # grep takes this one for the end of a line
done
at=$(LC_ALL=C grep -obUaP "${piece// /\\x}" data/stonevault.db | head -n 1 | cut -d : -f 1)
cp data/stonevault.db saved.db
spoil data/stonevault.db $((at + 3))
step 2 'stonevaultd audit fsck --data data'
step 0 'cp saved.db data/stonevault.db && stonevaultd audit fsck --data data'

anvil=$top/internal/anchor/contract/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil
if [ ! -x "$anvil" ] && command -v npm >/dev/null; then
	(cd "$top/internal/anchor/contract" && npm ci --no-audit --no-fund) >npm.log 2>&1 || true
fi
if [ ! -x "$anvil" ]; then
	say 'NOT SHOWN: anchoring on a chain, because there is no EVM node here (npm ci in internal/anchor/contract).'
	exit 0
fi

say 'A chain of its own on this machine stands for Polygon. Two keys, a contract, and a log in it.'
"$anvil" --host 127.0.0.1 --port 0 --chain-id 80002 --accounts 0 --slots-in-an-epoch 1 --block-time 1 >node.log 2>&1 &
node=$!
for _ in {1..300}; do
	! grep -q 'Listening on' node.log || break
	sleep 0.1
done
rpc=http://$(sed -n 's/^Listening on //p' node.log)
fund() {
	curl -sf "$rpc" -H 'Content-Type: application/json' \
		-d '{"jsonrpc":"2.0","id":1,"method":"anvil_setBalance","params":["'"$1"'","0x56bc75e2d63100000"]}' >/dev/null
}
step 0 'stonevaultd anchor newkey owner.json --passphrase-file owner.pass'
fund "$(grep -o '0x[0-9a-fA-F]*' output)"
step 0 'stonevaultd anchor newkey anchorer.json --passphrase-file anchorer.pass'
anchorer=$(grep -o '0x[0-9a-fA-F]*' output)
fund "$anchorer"
step 0 "stonevaultd anchor deploy --data data --chain amoy --rpc $rpc --key owner.json --key-passphrase-file owner.pass --anchorer-key anchorer.json >anchoring.toml"
sed -i 's/^anchor_key_passphrase_file = .*/anchor_key_passphrase_file = "anchorer.pass"/' anchoring.toml
step 0 'cat anchoring.toml'

for _ in {1..100}; do # until the log counts, in a block that is final
	stonevaultd anchor status --data data --config anchoring.toml 2>/dev/null | grep -q 'no anchor of this log yet' && break
	sleep 0.3
done

say 'The head of the log is anchored, and the chain confirms it to whoever asks.'
cp data/stonevault.db before.db
serve="stonevaultd serve --data data --listen $address --addr-file address --config anchoring.toml 2>server.log &"
step 0 "$serve"
server=$!
await
step 0 'stonevault put letter.txt --as /safe/second.txt'
step 0 'stonevaultd anchor now --data data --config anchoring.toml'
anchored=$(sed -n 's/.*Anchored: \([0-9]*\) events.*/\1/p' output)
contract=$(sed -n 's/^anchor_contract = "\(.*\)"/\1/p' anchoring.toml)
creator=$(sed -n 's/^anchor_creator = "\(.*\)"/\1/p' anchoring.toml)
step 0 "stonevault audit verify --rpc $rpc --chain-id 80002 --contract $contract --creator $creator"
stop

say 'Who holds the machine and all keys sets the database back, and lets another history grow beyond the anchor.'
step 0 'cp before.db data/stonevault.db && rm data.audit'
step 0 "$serve"
server=$!
await
password=$(sed -n 's/^Password: *//p' sheet.txt)
for _ in {1..8}; do # each is an event of the false history
	curl -sf -o /dev/null "$url/api/v1/sessions" -H 'Content-Type: application/json' \
		-d '{"name":"admin","password":"'"$password"'"}'
done
sleep 1
say 'The client of anybody who has seen the true one stops. So does the chain: status says it, and the contract itself refuses.'
step 2 'stonevault ls /safe'
step 2 'stonevaultd anchor status --data data --config anchoring.toml'
step 0 'stonevaultd audit export --data data --to false-log'
printf '$ go run ./scripts/rewritten --log false-log --from %s …\n' "$anchored"
(cd "$top" && go run ./scripts/rewritten --log "$work/false-log" --from "$anchored" --rpc "$rpc" --chain-id 80002 --contract "$contract" --creator "$creator" --anchorer "$anchorer")
stop
