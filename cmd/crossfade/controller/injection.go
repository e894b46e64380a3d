package controller

import (
	"flag"
	"fmt"
	"net"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/crossfade-dev/crossfade/controllers"
	"github.com/crossfade-dev/crossfade/proxy/inject"
)

// injectionSettings are the flags about sidecars.
type injectionSettings struct {
	address, image string
}

func (s *injectionSettings) flags(f *flag.FlagSet) {
	f.StringVar(&s.address, "webhook-address", ":9443", "where the API server asks for sidecars")
	f.StringVar(&s.image, "proxy-image", "", "image of sidecars; empty: the webhook is not served")
}

func (s *injectionSettings) validate() error {
	if _, _, err := net.SplitHostPort(s.address); err != nil {
		return fmt.Errorf("--webhook-address %q: %w", s.address, err)
	}
	return nil
}

// setup serves the webhook, if there is anything to inject.
func (s *injectionSettings) setup(mgr ctrl.Manager, authority *controllers.Authority, plane controllers.AuthorityOptions) error {
	if s.image == "" {
		return nil
	}
	err := controllers.SetupWebhook(mgr, controllers.WebhookOptions{
		Address: s.address, Certificate: authority, Inject: s.inject(plane),
	})
	if err != nil {
		return fmt.Errorf("set up injection: %w", err)
	}
	return nil
}

// inject is what sidecars are told. The ports are those of the Services in
// config/manager.
func (s *injectionSettings) inject(plane controllers.AuthorityOptions) inject.Options {
	return inject.Options{
		Image: s.image, SystemNamespace: plane.Namespace,
		XDS:          plane.FullName(controllers.ServiceXDS) + ":15010",
		Certificates: plane.FullName(controllers.ServiceController) + ":15011",
	}
}
