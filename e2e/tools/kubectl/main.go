// kubectl, built from the libraries that upstream publishes, for machines that have Go but no kubectl.
//
// `cargo xtask setup` builds it into target/tools/bin; go.mod and go.sum pin every byte of it.
package main

import (
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

func main() {
	// RunNoErrOutput leaves the printing of the error to CheckErr, which knows kubectl's exit codes.
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
	}
}
