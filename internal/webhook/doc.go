// Package webhook tells other programs what happened: it keeps who wants to be told of what, makes the messages and
// signs them as Standard Webhooks 1.0 says.
//
//	auditlog.Recorder ── Outbox.Announce ──▶ a delivery, in the event's transaction ── sender ──▶ the receiver
//
// Invariants:
//   - A delivery is there if and only if its event is: both are rows of one transaction.
//   - It is sent until the receiver takes it or the schedule is over, over restarts too: at least once, each time
//     with the same id. Nothing is promised of the order.
//   - A message holds ids of people, and nothing that they have called themselves, their files or their machines;
//     it goes with the people that it names.
//   - A secret is shown once, and sealed wherever it is kept.
//
// It does no I/O: rows are kept through Store, and package sender sends.
package webhook
