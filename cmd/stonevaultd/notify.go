package main

import (
	"fmt"
	"net"
	"strings"
)

// notify tells systemd how far the server has come (sd_notify(3)): one datagram to the socket that it names.
// Nobody is told where it names none.
func (a *app) notify(state string) error {
	var socket string
	for _, v := range a.environ {
		if path, ok := strings.CutPrefix(v, "NOTIFY_SOCKET="); ok {
			socket = path // "@" at its front is an abstract name to both
		}
	}
	if socket == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("systemd cannot be told %s: %w", state, err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("systemd cannot be told %s: %w", state, err)
	}
	return nil
}
