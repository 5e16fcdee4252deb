package bb84

import "errors"

var (
	// ErrProtocol is a message that the protocol does not have, or has not there.
	ErrProtocol = errors.New("the other side does not keep to the protocol")
	// ErrTampered is a message whose tag does not fit: somebody changed it, or the two sides have not the same secret.
	ErrTampered = errors.New("a message on the classical channel was changed")
)
