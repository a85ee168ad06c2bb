// The probe is the process in the containers of this package's engine tests.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"golang.org/x/term"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch args[0] {
	case "serve": // until SIGTERM
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		fmt.Println("ready")
		fmt.Fprintln(os.Stderr, "warned")
		<-stop
	case "exit": // exit CODE
		code, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		os.Exit(code)
	case "echo": // stdin to stdout, its end to stderr
		if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "end")
	case "noise": // noise BYTES: stderr before and between two words on stdout
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		for _, word := range []string{"one\n", "two\n"} {
			if _, err := os.Stderr.Write(make([]byte, n)); err != nil {
				return err
			}
			if _, err := os.Stdout.WriteString(word); err != nil {
				return err
			}
		}
	case "size": // the terminal's size, at every change, until a line comes
		changes := make(chan os.Signal, 8)
		signal.Notify(changes, syscall.SIGWINCH)
		go func() {
			for {
				if w, h, err := term.GetSize(0); err == nil {
					fmt.Printf("%dx%d\n", w, h)
				}
				<-changes
			}
		}()
		_, err := bufio.NewReader(os.Stdin).ReadString('\n')
		return err
	case "stat": // stat FILE: its mode
		info, err := os.Stat(args[1])
		if err != nil {
			return err
		}
		fmt.Println(info.Mode())
	case "env":
		fmt.Println(os.Getenv(args[1]))
	default:
		return fmt.Errorf("unknown mode %q", args[0])
	}
	return nil
}
