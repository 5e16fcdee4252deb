package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// password is of an account that lives as long as one measurement.
const password = "correct horse battery staple"

// run runs a program and writes its output to out.
func run(out io.Writer, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, said.String())
	}
	return nil
}

// process is a server under measurement.
type process struct {
	cmd   *exec.Cmd
	url   string
	token string
	dir   string // its own, removed at the end; or empty
}

// vaultBelow starts stonevaultd in a directory of its own below parent.
func vaultBelow(s settings, parent string) (*process, error) {
	dir, remove, err := scratch(parent)
	if err != nil {
		return nil, err
	}
	p, err := startVault(s, dir)
	if err != nil {
		remove()
		return nil, err
	}
	p.dir = dir
	return p, nil
}

// startVault starts stonevaultd on an empty directory and signs in.
func startVault(s settings, dir string) (*process, error) {
	daemon := filepath.Join(s.bin, "stonevaultd")
	data, addrFile := filepath.Join(dir, "data"), filepath.Join(dir, "addr")
	cmd := exec.Command(daemon, "serve", "--data", data, "--listen", "127.0.0.1:0", "--addr-file", addrFile,
		"--limit-sign-in", "0", "--limit-read", "0", "--limit-write", "0", "--limit-transfer", "0")
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd}
	for range 200 {
		if b, err := os.ReadFile(addrFile); err == nil && len(b) > 0 {
			p.url = "http://" + strings.TrimSpace(string(b))
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if p.url == "" {
		p.stop()
		return nil, fmt.Errorf("stonevaultd does not start: %s", said.String())
	}
	if _, err := command(strings.NewReader(password), daemon, "admin", "create", "bench", "--password-stdin", "--data", data); err != nil {
		p.stop()
		return nil, err
	}
	return p, p.signIn()
}

func (p *process) signIn() error {
	body, err := json.Marshal(map[string]string{"name": "bench", "password": password, "client": "bench"})
	if err != nil {
		return err
	}
	resp, err := http.Post(p.url+"/api/v1/sessions", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var session struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&session); err != nil {
		return err
	}
	if session.AccessToken == "" {
		return fmt.Errorf("signing in gives %s", resp.Status)
	}
	p.token = session.AccessToken
	return nil
}

// startBare starts the bare handler.
func startBare(dir string, args ...string) (*process, error) {
	cmd := exec.Command(os.Args[0], append([]string{"http", dir}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, err
	}
	return &process{cmd: cmd, url: "http://" + strings.TrimSpace(line)}, nil
}

func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.cmd.Wait()
	if p.dir != "" {
		os.RemoveAll(p.dir)
	}
}

// drains are lent to replies, so that the client's own memory costs the same whatever it asks for.
var drains = sync.Pool{New: func() any { b := make([]byte, 1<<20); return &b }}

// do sends a request and drops the reply's body.
func (p *process) do(ctx context.Context, client *http.Client, method, path string, body io.Reader, size int64) error {
	req, err := http.NewRequestWithContext(ctx, method, p.url+path, body)
	if err != nil {
		return err
	}
	if body != nil {
		req.ContentLength = size
	}
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
		if method == http.MethodPut {
			req.Header.Set("Content-Type", "application/octet-stream")
		}
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	buf := drains.Get().(*[]byte)
	defer drains.Put(buf)
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{resp.Body}, *buf); err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s gives %s", method, path, resp.Status)
	}
	return nil
}

func (p *process) put(client *http.Client, path, file string) (sample, error) {
	f, err := os.Open(file)
	if err != nil {
		return sample{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return sample{}, err
	}
	start := time.Now()
	err = p.do(context.Background(), client, http.MethodPut, path, f, info.Size())
	return sample{seconds: time.Since(start).Seconds()}, err
}

func (p *process) get(client *http.Client, path string) (sample, error) {
	start := time.Now()
	err := p.do(context.Background(), client, http.MethodGet, path, nil, 0)
	return sample{seconds: time.Since(start).Seconds()}, err
}

// resident returns the process's resident set now, or its largest since resetPeak, in MiB.
func (p *process) resident(field string) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
			return kib / 1024, err
		}
	}
	return 0, errors.New("no " + field)
}

func (p *process) resetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0)
}
