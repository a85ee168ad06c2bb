package nodeapi

import (
	"regexp"
	"strings"
	"time"
)

// What "volume restore" brings back, by the beginning of its name. The rest of
// the name is the time of its making, see StateName.
const (
	AsidePrefix    = "aside-"    // VolumeRoot/aside-<time>: a whole state that was set aside
	SnapshotPrefix = "snapshot-" // SnapshotDir/snapshot-<time>.db: etcd's data as of then
	DatabasePrefix = "database-" // Current/database-<time>: etcd's data that gave way to a snapshot's, or to a database's
)

// Places of etcd's data and of its snapshots. Both are set aside with the rest
// of the state.
const (
	EtcdDir        = Current + "/etcd"
	SnapshotDir    = Current + "/snapshots"
	SnapshotSuffix = ".db" // of a snapshot's file
)

// UnreadableSuffix ends the name of a state that gave way to a fresh gateway
// because the node could not read it.
const UnreadableSuffix = "-unreadable"

// Aside is what can be brought back: a state that was set aside, a snapshot or
// a database, as the beginning of its name says.
type Aside struct {
	Name string    `json:"name"` // "aside-20261121T211500Z", "aside-20261121T211500Z-unreadable", "snapshot-20261121T211500Z"
	At   time.Time `json:"at"`
}

const stateTime = "20060102T150405Z"

var stateName = regexp.MustCompile(`^(` + AsidePrefix + `|` + SnapshotPrefix + `|` + DatabasePrefix + `)(\d{8}T\d{6}Z)(-\d+|` + UnreadableSuffix + `)?$`)

// StateName names what is made at a moment. prefix is one of those above.
func StateName(prefix string, at time.Time) string { return prefix + at.UTC().Format(stateTime) }

// ParseState takes a name apart that StateName has made. Only a whole state
// has something after the time. ok is false for any other name.
func ParseState(name string) (prefix string, at time.Time, ok bool) {
	parts := stateName.FindStringSubmatch(name)
	if parts == nil || parts[3] != "" && parts[1] != AsidePrefix {
		return "", time.Time{}, false
	}
	at, err := time.Parse(stateTime, parts[2])
	if err != nil {
		return "", time.Time{}, false
	}
	return parts[1], at, true
}

// IsUnreadable reports whether an aside has a name of that kind.
func IsUnreadable(aside string) bool { return strings.HasSuffix(aside, UnreadableSuffix) }

// AsideSettings is where the settings of a state are that was set aside.
func AsideSettings(aside string) string {
	return VolumeRoot + "/" + aside + strings.TrimPrefix(SettingsFile, Current)
}
