package anchor

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"runtime"
	"strings"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// ErrKey is a key file that cannot be used.
var ErrKey = errors.New("the anchorer's key cannot be used")

// Key signs transactions of one account. It never prints.
type Key struct {
	private *ecdsa.PrivateKey
	address common.Address
}

// Format keeps the key out of every text, whatever the verb.
func (*Key) Format(f fmt.State, _ rune) { f.Write([]byte("[redacted]")) }

// Address is the account that pays for anchors.
func (k *Key) Address() common.Address { return k.address }

// maxKeyFile is more than any keystore file has.
const maxKeyFile = 64 << 10

// LoadKey reads a key from an encrypted keystore file, as geth and wallets write it, with the passphrase in a
// second file; or, where passphrasePath is empty, from a file with 64 hexadecimal digits. Files with a secret
// in the clear must be closed to other accounts of the machine.
func LoadKey(path, passphrasePath string) (*Key, error) {
	wrong := func(what string, err error) (*Key, error) {
		return nil, fmt.Errorf("%w: %s: %w", ErrKey, what, err)
	}
	if passphrasePath == "" {
		text, err := readSecret(path)
		if err != nil {
			return wrong(path, err)
		}
		private, err := parseRawKey(text)
		if err != nil {
			return wrong(path, err)
		}
		return newKey(private), nil
	}
	passphrase, err := ReadPassphrase(passphrasePath)
	if err != nil {
		return nil, err
	}
	k, err := openKey(path, passphrase, " in "+passphrasePath)
	if err != nil {
		return wrong(path, err)
	}
	return k, nil
}

// ReadPassphrase reads the first line of a file that is closed to other accounts of the machine.
func ReadPassphrase(path string) (string, error) {
	text, err := readSecret(path)
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrKey, path, err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", fmt.Errorf("%w: %s: its first line, which should be the passphrase, is empty", ErrKey, path)
	}
	return line, nil
}

// OpenKey reads a key from an encrypted keystore file with its passphrase.
func OpenKey(path, passphrase string) (*Key, error) {
	k, err := openKey(path, passphrase, "")
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrKey, path, err)
	}
	return k, nil
}

func openKey(path, passphrase, from string) (*Key, error) {
	sealed, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	opened, err := keystore.DecryptKey(sealed, passphrase)
	if err != nil {
		// The library's errors name no secret; a wrong passphrase is keystore.ErrDecrypt.
		return nil, fmt.Errorf("it does not open with the passphrase%s: %w", from, err)
	}
	return newKey(opened.PrivateKey), nil
}

// keystoreFile is version 3 of the Web3 Secret Storage Definition.
type keystoreFile struct {
	Address string              `json:"address"`
	Crypto  keystore.CryptoJSON `json:"crypto"`
	ID      string              `json:"id"`
	Version int                 `json:"version"`
}

// NewKey makes a key, and returns it as an encrypted keystore file, as geth and wallets read it, with the
// address of its account.
func NewKey(passphrase string) (sealed []byte, address string, err error) {
	if passphrase == "" {
		return nil, "", errors.New("a key needs a passphrase")
	}
	private, err := crypto.GenerateKey()
	if err != nil {
		return nil, "", err
	}
	k := newKey(private)
	f := keystoreFile{Address: hex.EncodeToString(k.address[:]), Version: 3}
	if f.Crypto, err = keystore.EncryptDataV3(crypto.FromECDSA(private), []byte(passphrase), keystore.StandardScryptN, keystore.StandardScryptP); err != nil {
		return nil, "", err
	}
	var id [16]byte
	rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // RFC 9562, section 5.4
	f.ID = fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	sealed, err = json.Marshal(f)
	return append(sealed, '\n'), k.address.Hex(), err
}

// AddressIn returns the address that a keystore file names. Only the passphrase could show that it is the key's.
func AddressIn(path string) (string, error) {
	text, err := readBounded(path)
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrKey, path, err)
	}
	var f keystoreFile
	if err := json.Unmarshal(text, &f); err != nil || f.Address == "" {
		return "", fmt.Errorf("%w: %s: it is no keystore file that names its address", ErrKey, path)
	}
	return ParseAddress("0x" + strings.TrimPrefix(f.Address, "0x"))
}

func newKey(private *ecdsa.PrivateKey) *Key {
	return &Key{private, crypto.PubkeyToAddress(private.PublicKey)}
}

// parseRawKey never repeats what it reads in its errors, and the library's would.
func parseRawKey(text []byte) (*ecdsa.PrivateKey, error) {
	text = bytes.TrimPrefix(bytes.TrimRight(text, "\r\n"), []byte("0x"))
	raw := make([]byte, hex.DecodedLen(len(text)))
	if _, err := hex.Decode(raw, text); err != nil || len(raw) != 32 {
		if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
			return nil, errors.New("it is an encrypted keystore file; name the file with its passphrase too")
		}
		return nil, errors.New("it must hold 64 hexadecimal digits and nothing else")
	}
	private, err := crypto.ToECDSA(raw)
	if err != nil {
		return nil, errors.New("its number is not a key of secp256k1")
	}
	return private, nil
}

func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, bare(err)
	}
	// Windows keeps who may read a file elsewhere.
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("others may read it (mode %04o); run: chmod 600 %s", mode, path)
	}
	return readBounded(path)
}

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, bare(err)
	case !info.Mode().IsRegular() || info.Size() > maxKeyFile:
		return nil, errors.New("it is not a key file")
	}
	text, err := os.ReadFile(path)
	return text, bare(err)
}

// bare takes the path off an error, which its caller names.
func bare(err error) error {
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		return pathError.Err
	}
	return err
}

// call is a transaction to be.
type call struct {
	nonce uint64
	to    *common.Address // nil deploys
	data  []byte
	gas   uint64
	fees  fees
}

// sign is deterministic (RFC 6979): the same call gives the same bytes.
func (k *Key) sign(chainID uint64, c call) (*types.Transaction, error) {
	id := new(big.Int).SetUint64(chainID)
	return types.SignNewTx(k.private, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: c.nonce, To: c.to, Data: c.data, Gas: c.gas, GasTipCap: c.fees.tip, GasFeeCap: c.fees.max,
	})
}
