// Command staticvet runs staticcheck's analyzers as a tool of go vet: one
// package at a time, with facts about dependencies kept in Go's build cache.
// Kubernetes' thousands of packages fit into no linter that loads them at once.
package main

import (
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/unitchecker"
	"honnef.co/go/tools/analysis/lint"
	"honnef.co/go/tools/simple"
	"honnef.co/go/tools/staticcheck"
)

func main() {
	var analyzers []*analysis.Analyzer
	for _, list := range [][]*lint.Analyzer{staticcheck.Analyzers, simple.Analyzers} {
		for _, a := range list {
			analyzers = append(analyzers, a.Analyzer)
		}
	}
	unitchecker.Main(analyzers...)
}
