package kme_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"stonevault/internal/metadb/postgrestest"
	"stonevault/internal/metadb/testdb"
)

// TestOnPostgreSQL runs the other tests of this package on PostgreSQL, where transactions run at the same time.
func TestOnPostgreSQL(t *testing.T) {
	if !testdb.OnSQLite() {
		return // this is that run
	}
	server := postgrestest.Start(t)
	cmd := exec.Command(os.Args[0], "-test.count=1")
	cmd.Env = append(os.Environ(), testdb.Variable+"="+server.Address("postgres"))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), "PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}
