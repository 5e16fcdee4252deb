package main

import (
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// line is a bad network in front of a server: slow, and cut again and again.
type line struct {
	listener net.Listener
	server   string
	limit    int64 // a connection is cut when it has carried so many bytes, 0 for never

	rate     atomic.Int64 // bytes a second and direction, 0 for all there are
	up, down atomic.Int64 // bytes that have crossed it
	cuts     atomic.Int64

	mu    sync.Mutex // guards conns
	conns map[net.Conn]bool
}

// lineBuffer keeps what is in the line, and lost with it, small: systems would buffer megabytes between processes.
const lineBuffer = 64 << 10

func newLine(server string, rate, limit int64) (*line, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &line{listener: listener, server: server, limit: limit, conns: map[net.Conn]bool{}}
	l.rate.Store(rate)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go l.carry(conn)
		}
	}()
	return l, nil
}

func (l *line) addr() string { return "http://" + l.listener.Addr().String() }

func (l *line) close() {
	l.listener.Close()
	l.cut()
}

// cut ends what is under way.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		conn.Close()
		l.cuts.Add(1)
	}
	clear(l.conns)
}

// carry joins a client's connection with one to the server.
func (l *line) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", l.server)
	if err != nil {
		return
	}
	defer server.Close()
	for _, conn := range []net.Conn{client, server} {
		conn.(*net.TCPConn).SetReadBuffer(lineBuffer)
		conn.(*net.TCPConn).SetWriteBuffer(lineBuffer)
	}
	l.mu.Lock()
	l.conns[client] = true
	l.mu.Unlock()
	var carried atomic.Int64
	ended := make(chan struct{}, 2)
	pump := func(to, from net.Conn, crossed *atomic.Int64) {
		defer func() { ended <- struct{}{} }()
		buf := make([]byte, 16<<10)
		for {
			n, err := from.Read(buf)
			crossed.Add(int64(n))
			if _, failed := to.Write(buf[:n]); err != nil || failed != nil {
				return
			}
			if total := carried.Add(int64(n)); l.limit > 0 && total >= l.limit {
				return
			}
			if rate := l.rate.Load(); rate > 0 {
				time.Sleep(time.Duration(n) * time.Second / time.Duration(rate))
			}
		}
	}
	go pump(server, client, &l.up)
	go pump(client, server, &l.down)
	<-ended
	client.Close()
	server.Close()
	<-ended
	l.mu.Lock()
	if l.conns[client] {
		delete(l.conns, client)
		if l.limit > 0 && carried.Load() >= l.limit {
			l.cuts.Add(1)
		}
	}
	l.mu.Unlock()
}

// lineCommand puts a line that cuts every connection after BYTES between $SERVER and $LINE: line BYTES.
func lineCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: line BYTES")
	}
	limit, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	l, err := newLine(ts.Getenv("SERVER")[len("http://"):], 0, limit)
	ts.Check(err)
	ts.Defer(l.close)
	ts.Setenv("LINE", l.addr())
}

func TestLineCuts(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go io.Copy(io.Discard, conn)
		}
	}()
	l, err := newLine(server.Addr().String(), 0, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	conn, err := net.Dial("tcp", l.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go conn.Write(make([]byte, 1<<20))
	io.Copy(io.Discard, conn)
	if got := l.up.Load(); got < 100_000 || got > 200_000 {
		t.Errorf("a line of 100,000 bytes carried %d", got)
	}
}
