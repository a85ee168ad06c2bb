package render

import (
	"testing"
	"time"
)

func TestBar(t *testing.T) {
	for want, c := range map[string]struct {
		done, total int64
		took        time.Duration
	}{
		"[                    ]   0%  0B of 1kB":           {0, 1000, 0},
		"[#####               ]  25%  1GB of 4GB, 100MB/s": {1e9, 4e9, 10 * time.Second},
		"[####################] 100%  5kB of 4kB, 5kB/s":   {5000, 4000, time.Second}, // it grew
		"1MB, 2MB/s": {1e6, 0, time.Second / 2},
	} {
		if got := Bar(c.done, c.total, c.took); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
