package xds

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	hcmName    = "envoy.filters.network.http_connection_manager"
	routerName = "envoy.filters.http.router"

	// idleDownstream is how long a connection, or a request or upgraded connection
	// without a byte, is kept. It is longer than what load balancers in front use for
	// theirs (600 s at most of the large clouds): the side that closes first should be
	// the one that sends requests.
	idleDownstream = time.Hour
	// headersTimeout bounds how long a client may take to send a request's headers.
	headersTimeout = time.Minute
	// closeTimeout bounds how long the end of an answer may wait for its way out before
	// the connection is closed. Envoy's default is 1 s: where the machine stood still for
	// longer, requests with "Connection: close" lost their answers, one for each count of
	// downstream_cx_delayed_close_timeout.
	closeTimeout = 30 * time.Second
)

// makeGatewayListener makes the listener of a gateway. Its routes come apart from
// it, so that no weight ever changes a listener: that would drain all connections.
func makeGatewayListener(name string, bindPort uint32) (*Resource, error) {
	manager, err := makeGatewayManager(name)
	if err != nil {
		return nil, err
	}
	config, err := anypb.New(manager)
	if err != nil {
		return nil, err
	}
	listener := &listenerv3.Listener{
		Name:    name,
		Address: makeAddress("0.0.0.0", bindPort),
		FilterChains: []*listenerv3.FilterChain{{
			Filters: []*listenerv3.Filter{{
				Name:       hcmName,
				ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: config},
			}},
		}},
	}
	return newReferring(name, listener, []string{name}, nil)
}

// makeGatewayManager is what a gateway does with every connection from outside.
func makeGatewayManager(routes string) (*hcmv3.HttpConnectionManager, error) {
	manager, err := makeManager("gateway", &routerv3.Router{SuppressEnvoyHeaders: true})
	if err != nil {
		return nil, err
	}
	manager.RouteSpecifier = routesFrom(routes)
	// X-Forwarded-For is extended by the true peer, and nobody, from inside the
	// cluster either, may command Envoy by x-envoy headers.
	manager.UseRemoteAddress = wrapperspb.Bool(true)
	manager.InternalAddressConfig = &hcmv3.HttpConnectionManager_InternalAddressConfig{}
	manager.ServerHeaderTransformation = hcmv3.HttpConnectionManager_PASS_THROUGH
	manager.NormalizePath = wrapperspb.Bool(true)
	manager.UpgradeConfigs = []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}}
	manager.CommonHttpProtocolOptions = &corev3.HttpProtocolOptions{IdleTimeout: durationpb.New(idleDownstream)}
	manager.StreamIdleTimeout = durationpb.New(idleDownstream)
	manager.RequestHeadersTimeout = durationpb.New(headersTimeout)
	manager.DelayedCloseTimeout = durationpb.New(closeTimeout)
	return manager, countGRPC(manager)
}

// makeAPIListener makes what a gRPC client looks up to find the routes of a
// Service's port.
func makeAPIListener(name, routes string) (*Resource, error) {
	manager, err := makeManager("mesh", &routerv3.Router{})
	if err != nil {
		return nil, err
	}
	manager.RouteSpecifier = routesFrom(routes)
	config, err := anypb.New(manager)
	if err != nil {
		return nil, err
	}
	listener := &listenerv3.Listener{Name: name, ApiListener: &listenerv3.ApiListener{ApiListener: config}}
	return newReferring(name, listener, []string{routes}, nil)
}

func makeManager(statPrefix string, router proto.Message) (*hcmv3.HttpConnectionManager, error) {
	config, err := anypb.New(router)
	if err != nil {
		return nil, err
	}
	return &hcmv3.HttpConnectionManager{
		StatPrefix: statPrefix,
		HttpFilters: []*hcmv3.HttpFilter{{
			Name:       routerName,
			ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: config},
		}},
	}, nil
}

// routesFrom waits for the routes for as long as it takes: a gateway that listens
// without them would answer 404.
func routesFrom(name string) *hcmv3.HttpConnectionManager_Rds {
	return &hcmv3.HttpConnectionManager_Rds{
		Rds: &hcmv3.Rds{RouteConfigName: name, ConfigSource: makeConfigSource(durationpb.New(0))},
	}
}
