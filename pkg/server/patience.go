package server

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// patienceEvery is the pause between two tries.
const patienceEvery = 200 * time.Millisecond

// patient makes calls wait for an API that does not answer, for as long as
// their context lets them. Requests that change something are only sent again
// when the API cannot have got them.
func patient(c client.WithWatch) client.Client {
	return interceptor.NewClient(c, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return again(ctx, unanswered, func() error { return c.Get(ctx, key, o, opts...) })
		},
		List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
			return again(ctx, unanswered, func() error { return c.List(ctx, l, opts...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return again(ctx, notReceived, func() error { return c.Create(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return again(ctx, notReceived, func() error { return c.Delete(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return again(ctx, notReceived, func() error { return c.Patch(ctx, o, p, opts...) })
		},
	})
}

func again(ctx context.Context, worthIt func(error) bool, call func() error) error {
	for {
		err := call()
		if err == nil || !worthIt(err) {
			return err
		}
		if !sleep(ctx, patienceEvery) {
			return errors.Join(err, ctx.Err())
		}
	}
}

// notReceived tells that the API did not act.
func notReceived(err error) bool {
	return utilnet.IsConnectionRefused(err) || apierrors.IsTooManyRequests(err) || notServed(err)
}

// unanswered tells that the API did not answer, or only that it cannot.
func unanswered(err error) bool {
	return notReceived(err) || utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err) || utilnet.IsTimeout(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err)
}

// notServed tells an API that does not know the resource, as before the
// definition of Sandbox is there, from one that does not have the object.
func notServed(err error) bool {
	return apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// absent tells that an object does not exist.
func absent(err error) bool { return apierrors.IsNotFound(err) && !notServed(err) }
