package vault

import (
	"errors"
	"fmt"
	"testing"
)

func TestMustBeThere(t *testing.T) {
	if err := mustBeThere("row", fmt.Errorf("it: %w", ErrNotFound)); errors.Is(err, ErrNotFound) {
		t.Errorf("damage is %v", err)
	}
	if err := mustBeThere("row", fmt.Errorf("it: %w", ErrUnavailable)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a database that is away is %v", err)
	}
}
