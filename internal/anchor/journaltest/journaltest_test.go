package journaltest

import (
	"testing"

	"stonevault/internal/anchor/journal"
)

func TestMemory(t *testing.T) {
	Run(t, func(*testing.T) journal.Store { return new(Memory) })
}
