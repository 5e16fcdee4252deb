#!/usr/bin/env bash
# Shows what Stonevault does, in a temporary directory, and stops at the first step that does not do what
# it claims. What it prints after "$ " are the very commands that it runs.
set -euo pipefail
bin=$(cd "$(dirname "$0")/../bin" && pwd)
work=$(mktemp -d)
server=
finish() {
	status=$?
	if [ -n "$server" ]; then
		kill "$server" 2>/dev/null || true
		wait "$server" 2>/dev/null || true
	fi
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

say 'A server on an empty directory. It prints a password and the recovery sheet, once.'
step 0 'stonevaultd serve --data data --listen 127.0.0.1:0 --addr-file address --create-admin >sheet.txt 2>server.log &'
server=$!
for _ in {1..300}; do
	[ ! -f address ] || break
	kill -0 "$server" 2>/dev/null || { cat server.log >&2; exit 1; }
	sleep 0.1
done
url=http://$(cat address)

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
stopped=0
step 0 'kill $(cat data/lock)'
wait "$server" || stopped=$?
server=
[ "$stopped" = 0 ] || { cat server.log >&2; exit 1; }
step 0 'tail -n 1 server.log'
