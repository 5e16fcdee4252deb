package redistest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"stonevault/internal/servertest"
)

// slots is how many a cluster has.
const slots = 16384

// Cluster is a cluster of primaries alone. What lies on one is away with it, and the rest goes on.
type Cluster struct{ Nodes []*Server }

// StartCluster starts a cluster of three nodes, which have a third of the slots each.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	const size = 3
	c := &Cluster{}
	var buses []string
	for i := range size {
		bus := strconv.Itoa(servertest.FreePort(t))
		node := Start(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no")
		node.Command(t, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		node.Command(t, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(slots*i/size), strconv.Itoa(slots*(i+1)/size-1))
		c.Nodes, buses = append(c.Nodes, node), append(buses, bus)
	}
	for i, node := range c.Nodes[1:] {
		c.Nodes[0].Command(t, "CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(node.port), buses[i+1])
	}
	c.Settle(t)
	return c
}

// Settle waits until all nodes know that all slots are served.
func (c *Cluster) Settle(t testing.TB) {
	t.Helper()
	for _, node := range c.Nodes {
		wait(t, "the cluster to serve all slots", func() bool {
			info := node.Command(t, "CLUSTER", "INFO")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_slots_ok:%d", slots))
		})
	}
}

// Address names all nodes.
func (c *Cluster) Address() string {
	var hosts []string
	for _, node := range c.Nodes {
		hosts = append(hosts, fmt.Sprintf("127.0.0.1:%d", node.port))
	}
	return "redis+cluster://" + strings.Join(hosts, ",")
}

// Flush empties all nodes.
func (c *Cluster) Flush(t testing.TB) {
	t.Helper()
	for _, node := range c.Nodes {
		node.Command(t, "FLUSHALL")
	}
}
