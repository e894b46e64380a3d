package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/crossfade-dev/crossfade/e2e/cluster/image"
)

func makeImage(_ context.Context, v *invocation) error {
	var spec image.Spec
	var out, entrypoint string
	v.flags.StringVar(&out, "o", "", "archive to write")
	v.flags.StringVar(&spec.Name, "name", "", "HOST/NAME:TAG")
	v.flags.StringVar(&spec.User, "user", "", "numeric user")
	v.flags.StringVar(&entrypoint, "entrypoint", "", "JSON array of strings")
	v.flags.Func("env", "NAME=VALUE", appendTo(&spec.Env))
	v.flags.Func("libs-of", "program whose shared libraries are added", appendTo(&spec.LibsOf))
	if err := v.parse(); err != nil {
		return err
	}
	if out == "" || spec.Name == "" {
		return errors.New("image needs -o and -name")
	}
	if err := complete(&spec, entrypoint, v.flags.Args()); err != nil {
		return err
	}
	if err := image.Write(out, spec); err != nil {
		return err
	}
	v.printf("wrote image %s to %s", spec.Name, out)
	return nil
}

// complete checks what the user wrote and fills in the rest of the spec.
func complete(spec *image.Spec, entrypoint string, files []string) error {
	if entrypoint != "" {
		if err := json.Unmarshal([]byte(entrypoint), &spec.Entrypoint); err != nil {
			return fmt.Errorf(`-entrypoint %s: write a JSON array, for example ["/app","-v"]: %w`, entrypoint, err)
		}
	}
	if spec.User != "" {
		// The kubelet cannot check runAsNonRoot with a name.
		if _, err := strconv.ParseUint(spec.User, 10, 32); err != nil {
			return fmt.Errorf("-user %s: write a number, for example 65532", spec.User)
		}
	}
	for _, e := range spec.Env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return fmt.Errorf("-env %s: write NAME=VALUE", e)
		}
	}
	for _, f := range files {
		source, path, ok := strings.Cut(f, "=")
		if !ok || source == "" || !strings.HasPrefix(path, "/") {
			return fmt.Errorf("file %q: write SOURCE=PATH with an absolute path in the image", f)
		}
		spec.Files = append(spec.Files, image.File{Source: source, Path: path})
	}
	return nil
}

func appendTo(list *[]string) func(string) error {
	return func(s string) error {
		*list = append(*list, s)
		return nil
	}
}
