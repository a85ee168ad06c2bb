// Package api holds the Go code generated from proto/: the contract between
// the gateway server and its clients. Regenerate it with go generate; a test
// of tools/proto compares the two.
package api

//go:generate go -C ../../tools/proto tool buf generate ../../proto --template ../../proto/buf.gen.yaml --output ../..
