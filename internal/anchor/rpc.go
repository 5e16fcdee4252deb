package anchor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
)

const (
	callTimeout = 20 * time.Second
	maxAnswer   = 4 << 20 // bytes; a block without its transactions has some thousand hashes
)

// server is one RPC server. Its name is its host alone, because addresses of paid servers hold a key.
type server struct {
	name    string
	eth     *ethclient.Client
	secrets []string // what of the address may be a key
}

func dial(ctx context.Context, address string) (*server, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("an RPC address must look like https://HOST/PATH")
	}
	s := &server{name: u.Host}
	for _, part := range strings.FieldsFunc(u.RequestURI(), func(r rune) bool { return strings.ContainsRune("/?&=", r) }) {
		if len(part) >= shortestSecret {
			s.secrets = append(s.secrets, part)
		}
	}
	client, err := rpc.DialOptions(ctx, address, rpc.WithHTTPClient(&http.Client{Transport: bounded{http.DefaultTransport}}))
	if err != nil {
		return nil, fmt.Errorf("RPC server %s: %w", s.name, s.said(err))
	}
	s.eth = ethclient.NewClient(client)
	return s, nil
}

// bounded keeps a server from filling the memory.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, maxAnswer), answer.Body}
	}
	return answer, err
}

const (
	maxSaid        = 300 // bytes of an error
	shortestSecret = 6   // bytes; shorter parts of an address are names such as rpc or v2
)

// said is an error of a server, for people to read: short and printable, because the server may have written
// it, and without the address, which may hold a key. Servers repeat it where they don't know the path.
func (s *server) said(err error) error {
	if withURL, ok := errors.AsType[*url.Error](err); ok {
		err = withURL.Err
	}
	text := err.Error()
	for _, secret := range s.secrets {
		text = strings.ReplaceAll(text, secret, "…")
	}
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text[:min(len(text), maxSaid)])
	return &saidError{text, err}
}

type saidError struct {
	text string
	err  error
}

func (e *saidError) Error() string { return e.text }
func (e *saidError) Unwrap() error { return e.err }

// servers are asked together.
type servers struct {
	all    []*server
	quorum int
}

func dialAll(ctx context.Context, addresses []string, quorum int) (*servers, error) {
	if len(addresses) == 0 {
		return nil, errors.New("anchoring needs the address of an RPC server; two or more of different operators are better")
	}
	if quorum == 0 {
		quorum = min(2, len(addresses))
	}
	if quorum < 1 || quorum > len(addresses) {
		return nil, fmt.Errorf("%d of %d RPC servers cannot be asked to agree", quorum, len(addresses))
	}
	all, seen := &servers{quorum: quorum}, map[string]bool{}
	for _, address := range addresses {
		s, err := dial(ctx, address)
		if err != nil {
			all.close()
			return nil, err
		}
		all.all = append(all.all, s)
		if key := strings.TrimSuffix(address, "/"); seen[key] {
			all.close()
			return nil, fmt.Errorf("the RPC server %s is named twice, and would be compared with itself", s.name)
		} else {
			seen[key] = true
		}
	}
	return all, nil
}

func (s *servers) close() {
	for _, one := range s.all {
		one.eth.Close()
	}
}

// answer is what one server says.
type answer[T any] struct {
	from  *server
	value T
}

// ask asks all servers at once. Those that don't answer are left out, unless too few are left.
func ask[T any](ctx context.Context, s *servers, f func(context.Context, *server) (T, error)) ([]answer[T], error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	values, errs := make([]T, len(s.all)), make([]error, len(s.all))
	var wg sync.WaitGroup
	for i, one := range s.all {
		wg.Go(func() { values[i], errs[i] = f(ctx, one) })
	}
	wg.Wait()
	var answers []answer[T]
	var failed []error
	for i, one := range s.all {
		if errs[i] != nil {
			failed = append(failed, fmt.Errorf("%s: %w", one.name, one.said(errs[i])))
			continue
		}
		answers = append(answers, answer[T]{one, values[i]})
	}
	if len(answers) < s.quorum {
		return nil, fmt.Errorf("%w (%d of %d do, and %d are needed): %w", ErrUnreachable, len(answers), len(s.all), s.quorum, errors.Join(failed...))
	}
	return answers, nil
}

// agreed returns what all answers say, or ErrDisagree with the names of two that differ.
func agreed[T comparable](answers []answer[T], about string) (T, error) {
	first := answers[0]
	for _, a := range answers[1:] {
		if a.value != first.value {
			var none T
			return none, fmt.Errorf("%w (%s and %s, about %s)", ErrDisagree, first.from.name, a.from.name, about)
		}
	}
	return first.value, nil
}

// part takes one value out of each answer, so that a disagreement can be named precisely.
func part[T any, P any](answers []answer[T], of func(T) P) []answer[P] {
	parts := make([]answer[P], len(answers))
	for i, a := range answers {
		parts[i] = answer[P]{a.from, of(a.value)}
	}
	return parts
}
