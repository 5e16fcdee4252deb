// Package anviltest starts Anvil, a real EVM node, for tests. Its npm package for the platform carries it, which
// internal/anchor/contract/package.json names and pins: the general one's dependencies on those for other
// platforms cannot be locked where a registry has not all of them.
//
// A node ends with its test. It keeps nothing, listens on a port of its own on the loopback address, and mines
// a block for each transaction unless it is told otherwise.
package anviltest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

// ChainID is the node's: that of Polygon's test network, Amoy.
const ChainID = 80002

// startTimeout is for a machine that does much else.
const startTimeout = time.Minute

// Node is a running node.
type Node struct {
	URL string
	RPC *rpc.Client
}

// Start starts a node. Folder is that of the package.json, internal/anchor/contract; args are further
// arguments of anvil. It installs the package if need be, and skips the test where that can't be done.
func Start(t testing.TB, folder string, args ...string) *Node {
	t.Helper()
	cmd := exec.Command(program(t, folder), append([]string{
		"--host", "127.0.0.1", "--port", "0", "--chain-id", fmt.Sprint(ChainID), "--accounts", "0",
	}, args...)...)
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url, read := make(chan string, 1), make(chan struct{})
	var said strings.Builder // until it listens; read by others after read is closed
	go func() {
		defer close(read)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if _, at, ok := strings.Cut(lines.Text(), "Listening on "); ok {
				url <- "http://" + at
				break
			}
			fmt.Fprintln(&said, lines.Text())
		}
		io.Copy(io.Discard, out) // so that it never waits for a reader
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-read
		cmd.Wait()
	})
	select {
	case <-read:
		t.Fatalf("anvil ended: %s", said.String())
	case <-time.After(startTimeout):
		t.Fatalf("anvil does not listen after %v", startTimeout)
	case n := <-url:
		client, err := rpc.Dial(n)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		return &Node{n, client}
	}
	return nil
}

// Call asks the node, for its own methods such as anvil_reorg.
func (n *Node) Call(t testing.TB, result any, method string, args ...any) {
	t.Helper()
	if err := n.RPC.CallContext(context.Background(), result, method, args...); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
}

// Fund gives an account a hundred coins.
func (n *Node) Fund(t testing.TB, account common.Address) {
	t.Helper()
	coin := new(big.Int).Exp(big.NewInt(10), big.NewInt(18), nil)
	n.Call(t, nil, "anvil_setBalance", account, (*hexutil.Big)(coin.Mul(coin, big.NewInt(100))))
}

// installing keeps tests of one process from installing at once.
var installing sync.Mutex

func program(t testing.TB, folder string) string {
	t.Helper()
	if p := runtime.GOOS + "/" + runtime.GOARCH; p != "linux/amd64" {
		t.Skip("NOT RUN: internal/anchor/contract/package.json names an EVM node for linux/amd64, and none for " + p)
	}
	path, err := filepath.Abs(filepath.Join(folder, "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"))
	if err != nil {
		t.Fatal(err)
	}
	installing.Lock()
	defer installing.Unlock()
	if _, err := os.Stat(path); err == nil {
		return path
	}
	npm := exec.Command("npm", "ci")
	npm.Dir = folder
	said, err := npm.CombinedOutput()
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Skipf("NOT RUN: there is no EVM node; run `npm ci` in internal/anchor/contract (%v)\n%s", err, said)
	}
	return path
}
