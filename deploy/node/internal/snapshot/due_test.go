package snapshot

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestDueAnHourAfterTheNewest(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 30, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		have []string
		want bool
	}{
		"none":               {nil, true},
		"an hour ago":        {[]string{"snapshot-20261121T113000Z.db"}, true},
		"not yet":            {[]string{"snapshot-20261121T093000Z.db", "snapshot-20261121T113001Z.db"}, false},
		"from the future":    {[]string{"snapshot-20261121T100000Z.db", "snapshot-20270101T000000Z.db"}, true},
		"what is no such":    {[]string{"snapshot-20261121T122900Z", "snapshot-now.db", "unfinished"}, true},
		"future, and recent": {[]string{"snapshot-20261121T122900Z.db", "snapshot-20270101T000000Z.db"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range c.have {
				if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := (&Keeper{Dir: dir}).due(now); err != nil || got != c.want {
				t.Errorf("due: %t, %v; want %t", got, err, c.want)
			}
		})
	}
}
