package bootstrap

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// routes reads the kernel's IPv4 routes. Format: proc(5), /proc/net/route.
func routes() ([]HostRange, error) {
	f, err := os.Open("/proc/net/route")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseRoutes(f)
}

// parseRoutes reads lines of "Iface Destination Gateway Flags RefCnt Use Metric
// Mask ...", addresses in hexadecimal in the byte order of the machine.
func parseRoutes(r io.Reader) ([]HostRange, error) {
	var out []HostRange
	lines := bufio.NewScanner(r)
	for first := true; lines.Scan(); first = false {
		fields := strings.Fields(lines.Text())
		if first || len(fields) < 8 {
			continue
		}
		addr, err := hostOrder(fields[1])
		if err != nil {
			return nil, fmt.Errorf("/proc/net/route: destination %q: %w", fields[1], err)
		}
		mask, err := hostOrder(fields[7])
		if err != nil {
			return nil, fmt.Errorf("/proc/net/route: mask %q: %w", fields[7], err)
		}
		ones := bits.OnesCount32(binary.BigEndian.Uint32(mask[:]))
		out = append(out, HostRange{netip.PrefixFrom(netip.AddrFrom4(addr), ones).Masked(), fields[0]})
	}
	return out, lines.Err()
}

func hostOrder(s string) ([4]byte, error) {
	raw, err := hex.DecodeString(s)
	if err != nil {
		return [4]byte{}, err
	}
	if len(raw) != 4 {
		return [4]byte{}, fmt.Errorf("%d bytes, not 4", len(raw))
	}
	var out [4]byte
	binary.BigEndian.PutUint32(out[:], binary.NativeEndian.Uint32(raw))
	return out, nil
}

// listener names the process that listens on a port, as far as this user may
// see. Format: proc(5), /proc/net/tcp; the socket's inode is the tenth field.
func listener(port int, proto string) (string, bool) {
	for _, table := range []string{"/proc/net/" + proto, "/proc/net/" + proto + "6"} {
		data, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for _, inode := range inodesOf(string(data), port, proto) {
			if holder, ok := processWithSocket(inode); ok {
				return holder, true
			}
		}
	}
	return "", false
}

// inodesOf are the sockets that are bound to a port and, for tcp, listen.
func inodesOf(table string, port int, proto string) []string {
	const listening = "0A"
	var out []string
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 10 {
			continue
		}
		_, local, ok := strings.Cut(fields[1], ":")
		n, err := strconv.ParseUint(local, 16, 16)
		if ok && err == nil && int(n) == port && (proto != "tcp" || fields[3] == listening) {
			out = append(out, fields[9])
		}
	}
	return out
}

func processWithSocket(inode string) (string, bool) {
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return "", false
	}
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || target != "socket:["+inode+"]" {
			continue
		}
		pid := strings.Split(link, "/")[2]
		comm, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			return "process " + pid, true
		}
		return fmt.Sprintf("process %s (%s)", strings.TrimSpace(string(comm)), pid), true
	}
	return "", false
}
