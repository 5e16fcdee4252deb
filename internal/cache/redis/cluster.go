package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// openCluster opens a client that follows redirections, which have done nothing, and repeats nothing else.
func openCluster(o *redis.ClusterOptions) *redis.ClusterClient {
	c := redis.NewClusterClient(o)
	c.OnNewNode(func(node *redis.Client) { node.AddHook(noRepeats{}) })
	return c
}

// noRepeats hides from the library's client of clusters what it would repeat a command for. Its setting for that is the
// one for redirections too. Answers of Redis are left as they are: what is refused has not happened.
type noRepeats struct{}

func (noRepeats) DialHook(next redis.DialHook) redis.DialHook { return next }

func (noRepeats) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := hide(next(ctx, cmd))
		cmd.SetErr(err)
		return err
	}
}

func (noRepeats) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			cmd.SetErr(hide(cmd.Err()))
		}
		return hide(err)
	}
}

func hide(err error) error {
	if err == nil || said(err) {
		return err
	}
	return errors.New(err.Error()) // an error that is nothing but its text
}

// said tells whether an error is an answer of Redis.
func said(err error) bool {
	var answer redis.Error
	return errors.As(err, &answer)
}

// pingCluster is nil where every primary answers and says that all slots are served. One that cannot be reached by the
// others says that it cannot serve its own.
func pingCluster(ctx context.Context, c *redis.ClusterClient) error {
	var asked atomic.Int32
	err := c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		asked.Add(1)
		info, err := node.ClusterInfo(ctx).Result()
		if err != nil {
			return err
		}
		for _, want := range []string{"cluster_state:ok\r\n", "cluster_slots_ok:16384\r\n"} {
			if !strings.Contains(info, want) {
				return fmt.Errorf("the cluster does not serve all slots: it does not say %s", strings.TrimSpace(want))
			}
		}
		return nil
	})
	if err == nil && asked.Load() == 0 {
		return errors.New("the cluster serves no slots")
	}
	return err
}
