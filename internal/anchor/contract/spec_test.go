package contract

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// The specification names every function, event and error of the contract as it is, and its examples hold.
func TestSpecification(t *testing.T) {
	b, err := os.ReadFile("../../../docs/spec/anchor.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	says := func(what string) {
		t.Helper()
		if !strings.Contains(text, what) {
			t.Errorf("docs/spec/anchor.md does not say %q", what)
		}
	}
	for _, m := range definition.Methods {
		says(fmt.Sprintf("| `%s` | `%x` |", m.Sig, m.ID))
	}
	for _, e := range definition.Events {
		says(fmt.Sprintf("| `%s` | `%x` |", e.Sig, e.ID))
	}
	for _, e := range definition.Errors {
		says(fmt.Sprintf("| `%s` | `%x` |", e.Sig, e.ID[:4]))
	}
	says(fmt.Sprintf("`%x`", crypto.Keccak256(RuntimeCode())))

	creator, origin := common.HexToAddress("0x00112233445566778899aabbccddeeff00112233"), "stonevault.example/log"
	says(fmt.Sprintf("`%s` and the origin `%s`", strings.ToLower(creator.Hex()), origin))
	id := NewLogID(creator, OriginHash(origin))
	says(fmt.Sprintf("origin hash  %x\n", OriginHash(origin)))
	says(fmt.Sprintf("log id       %x\n", id[:]))

	log := denseTree(7)
	says(fmt.Sprintf("`%x`, and the calldata", log.head(t, 3).Root))
	call := AnchorCall(id, log.head(t, 7), log.proof(t, 3, 7))
	lines := []string{hex.EncodeToString(call[:4])}
	for rest := call[4:]; len(rest) > 0; rest = rest[32:] {
		lines = append(lines, hex.EncodeToString(rest[:32]))
	}
	says("    " + strings.Join(lines, "\n    ") + "\n\n")
}
