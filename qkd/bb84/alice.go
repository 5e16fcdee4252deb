package bb84

import (
	"bytes"
	"encoding/binary"
	"io"
	"sync"

	"stonevault/qkd/distill"
)

// Alice runs her side of a session: she sent the pulses of sender, and talks to Bob through conn. Whoever calls sets
// deadlines on conn, or closes it, so that a silent peer ends with an error. A session that is aborted as the protocol has
// it is no error: Ending.Result says why.
//
// Errors: ErrParameters; ErrTampered, ErrProtocol; those of conn, sender and randomness. There is no key then, and the
// secret is used up.
func Alice(p Party, sender Sender, conn io.ReadWriter) (*Ending, error) {
	s, err := newParty(p, conn, true)
	if err != nil {
		return nil, err
	}
	a := &alice{party: s, sender: sender}
	for _, step := range []func() error{a.sift, a.estimate, a.reconcile, a.verify, a.amplify} {
		if err := step(); err != nil {
			return nil, err
		}
		if a.end.Result.Aborted {
			break
		}
	}
	return s.close(true), nil
}

type alice struct {
	*party
	sender Sender
	seed   [32]byte // of Cascade
}

// Sessions follow one another, and what Cascade works in is large.
var (
	answerers   = sync.Pool{New: func() any { return new(distill.Answerer) }}
	reconcilers = sync.Pool{New: func() any { return new(distill.Reconciler) }}
)

func (a *alice) sift() error {
	digest := a.Protocol.digest()
	if err := a.wire.send(helloMessage, digest[:]); err != nil {
		return err
	}
	payload, err := a.expect(detectionsMessage)
	if err != nil {
		return err
	}
	found := newDetectionReader(payload, a.Protocol.Pulses)
	detected := found.left
	prepared, err := a.prepared(found)
	if err != nil {
		return err
	}
	bases := found.bits(detected)
	if err := found.end(); err != nil {
		return err
	}
	a.end.Result.Detected = int64(detected)
	a.step("detected", int64(detected))
	differ := bases.Clone()
	differ.Xor(prepared.Bases)
	sent := &sifting{same: not(differ)}
	kept := pick(sent.same, prepared.Bits, bases, prepared.Intensities[0], prepared.Intensities[1])
	sent.intensities = [2]*distill.Bits(kept[2:])
	if a.Protocol.sampled() {
		if err := a.draw(sent.sample[:]); err != nil {
			return err
		}
	}
	a.divided(sent, kept[1], kept[0])
	return a.wire.send(siftingMessage, sent.append(nil, &a.Protocol))
}

// prepared looks up the pulses that Bob says he detected, some at a time.
func (a *alice) prepared(found *detectionReader) (*Preparations, error) {
	const atOnce = 1 << 12 // a multiple of 64
	n := found.left
	var columns [4][]uint64
	for i := range columns {
		columns[i] = make([]uint64, 0, n/64+1)
	}
	pulses := make([]int64, min(n, atOnce))
	for found.left > 0 {
		some := pulses[:min(found.left, atOnce)]
		if err := found.read(some); err != nil {
			return nil, err
		}
		p, err := a.sender.Prepared(some)
		if err != nil {
			return nil, err
		}
		for i, b := range [4]*distill.Bits{p.Bases, p.Bits, p.Intensities[0], p.Intensities[1]} {
			columns[i] = append(columns[i], b.Words()...)
		}
	}
	all := func(i int) *distill.Bits { return distill.FromWords(columns[i], n) }
	return &Preparations{all(0), all(1), [2]*distill.Bits{all(2), all(3)}}, nil
}

func (a *alice) estimate() error {
	payload, err := a.expect(testMessage)
	if err != nil {
		return err
	}
	d := a.end.sifted
	r := &reader{rest: payload}
	theirs := r.bits(int(total(d.want)))
	if err := r.end(); err != nil {
		return err
	}
	theirs.Xor(a.tested)
	var e estimate
	e.errors = a.count(theirs)
	if e.reason, err = a.Protocol.judge(d, e.errors, &a.end.Result); err != nil {
		return err
	}
	if e.reason == goOn {
		if err := a.draw(e.seed[:]); err != nil {
			return err
		}
	}
	a.seed = e.seed
	a.estimated(e.errors, e.reason)
	if err := a.wire.send(estimateMessage, e.append(nil)); err != nil {
		return err
	}
	if e.reason != goOn {
		return a.compare()
	}
	return nil
}

// count sorts errors among the compared bits by intensity.
func (a *alice) count(wrong *distill.Bits) (errors [3]int64) {
	if a.Protocol.Source == Single {
		return [3]int64{int64(wrong.Ones())}
	}
	d, sent := a.end.sifted, a.end.sifting
	compared := &sifting{intensities: [2]*distill.Bits(pick(d.test, sent.intensities[0], sent.intensities[1]))}
	return compared.byIntensity(&a.Protocol, wrong, wrong.Ones())
}

// compare counts the errors among the bits of a key that there will not be.
func (a *alice) compare() error {
	payload, err := a.expect(restMessage)
	if err != nil {
		return err
	}
	r := &reader{rest: payload}
	theirs := r.bits(a.key.Len())
	if err := r.end(); err != nil {
		return err
	}
	theirs.Xor(a.key)
	errors := int64(theirs.Ones())
	a.end.Result.compared(a.end.Result.Sifted, total(a.end.Result.ErrorsByIntensity)+errors)
	return a.wire.send(comparedMessage, appendCounts(nil, errors))
}

func (a *alice) reconcile() error {
	answerer := answerers.Get().(*distill.Answerer)
	defer answerers.Put(answerer)
	if err := answerer.Reset(a.key, variant, a.seed); err != nil {
		return err
	}
	var counts []int64
	for counts == nil {
		k, payload, err := a.wire.receive(questionMessage, reconciledMessage)
		if err != nil {
			return err
		}
		if k == reconciledMessage {
			if counts, err = numbers(payload, int64(answerer.Leak()), int64(a.key.Len())); err != nil {
				return err
			}
			break
		}
		answer, err := answerer.Answer(payload)
		if err != nil {
			return malformed("%w", err)
		}
		if err := a.wire.send(answerMessage, answer); err != nil {
			return err
		}
	}
	if counts[0] != int64(answerer.Leak()) {
		return malformed("%d parities were answered, and Bob counts %d", answerer.Leak(), counts[0])
	}
	a.reconciled(counts[0], counts[1])
	return nil
}

func (a *alice) verify() error {
	t, err := a.tagBits()
	if err != nil {
		return err
	}
	var key [16]byte
	if err := a.draw(key[:]); err != nil {
		return err
	}
	message := binary.BigEndian.AppendUint64(nil, uint64(a.leak))
	message = append(append(message, key[:]...), distill.Tag(a.key, key, t)...)
	if err := a.wire.send(verifyMessage, message); err != nil {
		return err
	}
	payload, err := a.expect(verifiedMessage)
	if err != nil {
		return err
	}
	if !bytes.Equal(payload, []byte{0}) && !bytes.Equal(payload, []byte{1}) {
		return malformed("a comparison ends with yes or no")
	}
	a.verified(payload[0] == 1)
	return nil
}

func (a *alice) amplify() error {
	length, reason, err := a.final()
	if err != nil {
		return err
	}
	var seed *distill.Bits
	if reason == goOn {
		if seed, err = distill.ReadBits(a.Random, distill.SeedBits(a.key.Len(), int(length))); err != nil {
			return err
		}
	}
	if err := a.wire.send(amplifyMessage, appendAmplify(nil, reason, length, seed)); err != nil {
		return err
	}
	var secret *distill.Bits
	if reason == goOn {
		if secret, err = distill.Amplify(a.key, seed, int(length)); err != nil { // while Bob does
			return err
		}
	}
	// What Bob says last tells her that he has all that he needs.
	payload, err := a.expect(doneMessage)
	if err != nil {
		return err
	}
	if len(payload) != 0 {
		return malformed("something follows the end")
	}
	if reason != goOn {
		a.end.Result.abort(reason)
		return nil
	}
	a.finish(secret)
	return nil
}
