package webhook

import "time"

// schedule is how long after each failed try the next one comes. After the last one, a day after the first, the
// delivery is given up.
var schedule = []time.Duration{
	5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 17 * time.Hour,
}

// pause is how long to wait after so many failed tries; ok is false where no further one comes.
func pause(tries int64) (d time.Duration, ok bool) {
	if tries < 1 || tries > int64(len(schedule)) {
		return 0, false
	}
	return schedule[tries-1], true
}
