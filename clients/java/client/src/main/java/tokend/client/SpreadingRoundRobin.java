package tokend.client;

import io.grpc.CallOptions;
import io.grpc.ConnectivityState;
import io.grpc.Deadline;
import io.grpc.LoadBalancer;
import io.grpc.LoadBalancer.Helper;
import io.grpc.LoadBalancer.PickResult;
import io.grpc.LoadBalancer.PickSubchannelArgs;
import io.grpc.LoadBalancer.Subchannel;
import io.grpc.LoadBalancer.SubchannelPicker;
import io.grpc.LoadBalancerProvider;
import io.grpc.LoadBalancerRegistry;
import io.grpc.util.ForwardingLoadBalancerHelper;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * gRPC's round robin, except that each attempt of a call goes to a ready connection that the call has not used, if
 * there is one. With many concurrent calls, round robin's next connection may be the one on which this call has just
 * failed.
 */
final class SpreadingRoundRobin extends LoadBalancerProvider {
  static final String NAME = "tokend_round_robin";

  private static final String ROUND_ROBIN = "round_robin";
  private static final SpreadingRoundRobin INSTANCE = new SpreadingRoundRobin();
  private static final CallOptions.Key<@Nullable Set<Subchannel>> USED =
      CallOptions.Key.createWithDefault("tokend-used-connections", null);

  /** The maximum number of connections to skip, since concurrent calls also advance the round robin. */
  private static final int MAX_SKIPPED = 64;

  private SpreadingRoundRobin() {}

  /** Registers the policy with gRPC under its name, which is tokend's own. Idempotent. */
  static void register() {
    LoadBalancerRegistry.getDefaultRegistry().register(INSTANCE);
  }

  /** Returns options that mark all attempts of one call as such. */
  static CallOptions forOneCall(CallOptions options) {
    return options.withOption(USED, ConcurrentHashMap.newKeySet());
  }

  @Override
  public boolean isAvailable() {
    return true;
  }

  @Override
  public int getPriority() {
    return 5;
  }

  @Override
  public String getPolicyName() {
    return NAME;
  }

  @Override
  public LoadBalancer newLoadBalancer(Helper helper) {
    LoadBalancerProvider roundRobin =
        Objects.requireNonNull(LoadBalancerRegistry.getDefaultRegistry().getProvider(ROUND_ROBIN));
    return roundRobin.newLoadBalancer(
        new ForwardingLoadBalancerHelper() {
          @Override
          protected Helper delegate() {
            return helper;
          }

          @Override
          public void updateBalancingState(ConnectivityState state, SubchannelPicker roundRobinPicker) {
            super.updateBalancingState(state, new SpreadingPicker(roundRobinPicker));
          }
        });
  }

  static final class SpreadingPicker extends SubchannelPicker {
    private final SubchannelPicker roundRobinPicker;

    SpreadingPicker(SubchannelPicker roundRobinPicker) {
      this.roundRobinPicker = roundRobinPicker;
    }

    @Override
    public PickResult pickSubchannel(PickSubchannelArgs args) {
      PickResult picked = roundRobinPicker.pickSubchannel(args);
      Set<Subchannel> used = args.getCallOptions().getOption(USED);
      if (used == null || isExpired(args.getCallOptions())) {
        return picked;
      }
      for (int skipped = 0; skipped < MAX_SKIPPED; skipped++) {
        Subchannel connection = picked.getSubchannel();
        if (connection == null || used.add(connection)) {
          break;
        }
        picked = roundRobinPicker.pickSubchannel(args);
      }
      return picked;
    }

    /**
     * Reports whether the attempt's deadline has passed. It then does not count as a use: if the server notices the
     * deadline first and cancels the attempt, gRPC retries it, and the call's next attempt would find all connections
     * used.
     */
    private static boolean isExpired(CallOptions options) {
      Deadline deadline = options.getDeadline();
      return deadline != null && deadline.isExpired();
    }
  }
}
