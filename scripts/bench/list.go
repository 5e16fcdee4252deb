package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// listed is how many files the folder has.
const listed = 100_000

// forget removes a file by its path.
func (p *process) forget(client *http.Client, path string) error {
	var entry struct {
		ID string `json:"id"`
	}
	if err := p.getJSON(client, "/api/v1/files/lookup?path="+url.QueryEscape(path), &entry); err != nil {
		return err
	}
	return p.do(context.Background(), client, http.MethodDelete, "/api/v1/files/"+entry.ID, nil, 0)
}

func (p *process) getJSON(client *http.Client, path string, v any) error {
	req, err := http.NewRequest(http.MethodGet, p.url+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s gives %s", path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(v)
}

// list shows that page 100 of a large folder costs what page 1 does.
func list(s settings) error {
	p, err := vaultBelow(s, s.memory)
	if err != nil {
		return err
	}
	defer p.stop()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	var next atomic.Int64
	signedIn := time.Now()
	for next.Load() < listed {
		end := min(next.Load()+10_000, listed)
		err := together(16, func(int) error {
			for i := next.Add(1) - 1; i < end; i = next.Add(1) - 1 {
				if err := p.do(context.Background(), client, http.MethodPut, fmt.Sprintf("%s/many/%06d", content, i), reader([]byte("x")), 1); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		next.Store(end)
		if time.Since(signedIn) > 5*time.Minute {
			if err := p.signIn(); err != nil {
				return err
			}
			signedIn = time.Now()
		}
	}
	if err := p.signIn(); err != nil {
		return err
	}
	fmt.Printf("\n### A folder of %d files, pages of 100\n\n| order | page 1, ms | page 100, ms |\n|---|---|---|\n", listed)
	for _, sort := range []string{"name", "-name", "size", "-modified_at", "created_at"} {
		var cursor string
		var first, hundredth []float64
		for range s.runs {
			cursor = ""
			for page := 1; page <= 100; page++ {
				var reply struct {
					NextCursor *string `json:"next_cursor"`
				}
				query := "/api/v1/files?folder=/many&limit=100&sort=" + url.QueryEscape(sort)
				if cursor != "" {
					query += "&cursor=" + url.QueryEscape(cursor)
				}
				start := time.Now()
				if err := p.getJSON(client, query, &reply); err != nil {
					return err
				}
				ms := float64(time.Since(start).Microseconds()) / 1000
				switch page {
				case 1:
					first = append(first, ms)
				case 100:
					hundredth = append(hundredth, ms)
				}
				if reply.NextCursor == nil || *reply.NextCursor == "" {
					return fmt.Errorf("the list ends at page %d", page)
				}
				cursor = *reply.NextCursor
			}
		}
		fmt.Printf("| `%s` | %.2f | %.2f |\n", sort, median(first), median(hundredth))
	}
	return nil
}
