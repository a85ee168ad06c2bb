package hostconfig

import "golang.org/x/sys/unix"

// exchange swaps two directories in one step. Not every file system can.
func exchange(a, b string) error {
	return unix.RenamexNp(a, b, unix.RENAME_SWAP)
}
