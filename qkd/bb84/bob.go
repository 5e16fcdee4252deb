package bb84

import (
	"bytes"
	"io"

	"stonevault/qkd/distill"
)

// Bob runs his side of a session: he measured what receiver has, and talks to Alice through conn. What is said of Alice
// holds for him.
func Bob(p Party, receiver Receiver, conn io.ReadWriter) (*Ending, error) {
	s, err := newParty(p, conn, false)
	if err != nil {
		return nil, err
	}
	b := &bob{party: s, receiver: receiver}
	for _, step := range []func() error{b.sift, b.estimate, b.reconcile, b.verify, b.amplify} {
		if err := step(); err != nil {
			return nil, err
		}
		if b.end.Result.Aborted {
			break
		}
	}
	return s.close(false), nil
}

type bob struct {
	*party
	receiver Receiver
	seed     [32]byte // of Cascade
}

func (b *bob) sift() error {
	payload, err := b.expect(helloMessage)
	if err != nil {
		return err
	}
	if digest := b.Protocol.digest(); !bytes.Equal(payload, digest[:]) {
		return malformed("the two sides have not agreed on the same parameters")
	}
	all := b.receiver.Detections()
	b.end.Result.Detected = int64(len(all.Pulses))
	b.step("detected", int64(len(all.Pulses)))
	if err := b.wire.send(detectionsMessage, all.bytes()); err != nil {
		return err
	}
	if payload, err = b.expect(siftingMessage); err != nil {
		return err
	}
	sent, err := parseSifting(payload, &b.Protocol, len(all.Pulses))
	if err != nil {
		return err
	}
	kept := pick(sent.same, all.Bits, all.Bases)
	b.divided(sent, kept[1], kept[0])
	return b.wire.send(testMessage, b.tested.Bytes())
}

func (b *bob) estimate() error {
	payload, err := b.expect(estimateMessage)
	if err != nil {
		return err
	}
	d, r := b.end.sifted, &b.end.Result
	e, err := parseEstimate(payload, d.want)
	if err != nil {
		return err
	}
	reason, err := b.Protocol.judge(d, e.errors, r)
	if err != nil {
		return err
	}
	if reason != e.reason {
		return malformed("Alice concludes %q from these counts, and Bob %q", e.reason, reason)
	}
	b.seed = e.seed
	b.estimated(e.errors, reason)
	if reason == goOn {
		return nil
	}
	if err := b.wire.send(restMessage, b.key.Bytes()); err != nil {
		return err
	}
	if payload, err = b.expect(comparedMessage); err != nil {
		return err
	}
	errors, err := numbers(payload, int64(b.key.Len()))
	if err != nil {
		return err
	}
	r.compared(r.Sifted, total(e.errors)+errors[0])
	return nil
}

func (b *bob) reconcile() error {
	r := &b.end.Result
	reconciler := reconcilers.Get().(*distill.Reconciler)
	defer reconcilers.Put(reconciler)
	report, err := reconciler.Reconcile(b.key, variant, cascadeRate(r.Tested, total(r.ErrorsByIntensity)), b.seed, func(question []byte) ([]byte, error) {
		if err := b.wire.send(questionMessage, question); err != nil {
			return nil, err
		}
		return b.expect(answerMessage)
	})
	if err != nil {
		return err
	}
	leak, corrected := int64(report.Leak), int64(report.Corrected)
	b.reconciled(leak, corrected)
	return b.wire.send(reconciledMessage, appendCounts(nil, leak, corrected))
}

func (b *bob) verify() error {
	payload, err := b.expect(verifyMessage)
	if err != nil {
		return err
	}
	t, err := b.tagBits()
	if err != nil {
		return err
	}
	m := &reader{rest: payload}
	answered := m.uint64()
	key := [16]byte(m.take(16))
	tag := m.take((t + 7) / 8)
	if err := m.end(); err != nil {
		return err
	}
	if answered != uint64(b.leak) {
		return malformed("Alice answered %d parities, and Bob asked for %d", answered, b.leak)
	}
	same := bytes.Equal(tag, distill.Tag(b.key, key, t))
	b.verified(same)
	answer := []byte{0}
	if same {
		answer[0] = 1
	}
	return b.wire.send(verifiedMessage, answer)
}

func (b *bob) amplify() error {
	payload, err := b.expect(amplifyMessage)
	if err != nil {
		return err
	}
	reason, length, seed, err := parseAmplify(payload, b.key.Len())
	if err != nil {
		return err
	}
	own, ownReason, err := b.final()
	if err != nil {
		return err
	}
	if reason != ownReason || length != own {
		return malformed("Alice takes %d secret bits (%q), and Bob %d (%q)", length, reason, own, ownReason)
	}
	if reason == goOn {
		secret, err := distill.Amplify(b.key, seed, int(length))
		if err != nil {
			return err
		}
		b.finish(secret)
	} else {
		b.end.Result.abort(reason)
	}
	return b.wire.send(doneMessage, nil)
}
