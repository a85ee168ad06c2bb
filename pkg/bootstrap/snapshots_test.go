package bootstrap

import (
	"testing"
	"time"
)

func TestAsOf(t *testing.T) {
	now := time.Date(2026, 11, 21, 14, 44, 30, 0, time.FixedZone("", 3600))
	for want, at := range map[string]time.Time{
		"14:44, just now":                     now.Add(-30 * time.Second),
		"14:43, 1 minute ago":                 now.Add(-90 * time.Second),
		"14:03, 41 minutes ago":               now.Add(-41 * time.Minute).UTC(),
		"12:34, 2 hours ago":                  now.Add(-130 * time.Minute),
		"2026-11-20 23:44, 15 hours ago":      now.Add(-15 * time.Hour),
		"2026-11-11 14:44, 10 days ago":       now.AddDate(0, 0, -10),
		"14:50, by a clock ahead of this one": now.Add(6 * time.Minute),
	} {
		if got := AsOf(at, now); got != want {
			t.Errorf("AsOf: %q, want %q", got, want)
		}
	}
}
