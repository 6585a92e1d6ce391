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
 * gRPC's round robin, except that each attempt of a call goes to another connection than those before, while there is one
 * that is ready. With many calls at once, the next connection in turn may be the one that has just failed this call.
 */
final class SpreadingRoundRobin extends LoadBalancerProvider {
  static final String NAME = "tokend_round_robin";

  private static final String ROUND_ROBIN = "round_robin";
  private static final SpreadingRoundRobin ONLY = new SpreadingRoundRobin();
  private static final CallOptions.Key<@Nullable Set<Subchannel>> USED =
      CallOptions.Key.createWithDefault("tokend-used-connections", null);

  /** How many connections in turn are passed over at the most; others are picked by other calls meanwhile. */
  private static final int MOST_PASSED_OVER = 64;

  private SpreadingRoundRobin() {}

  /** Has gRPC find the policy by its name, which is tokend's own; once is enough, and more does no harm. */
  static void register() {
    LoadBalancerRegistry.getDefaultRegistry().register(ONLY);
  }

  /** The options by which all attempts of one call are known as such. */
  static CallOptions ofOneCall(CallOptions options) {
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
          public void updateBalancingState(ConnectivityState state, SubchannelPicker inTurn) {
            super.updateBalancingState(state, new SpreadingPicker(inTurn));
          }
        });
  }

  static final class SpreadingPicker extends SubchannelPicker {
    private final SubchannelPicker inTurn;

    SpreadingPicker(SubchannelPicker inTurn) {
      this.inTurn = inTurn;
    }

    @Override
    public PickResult pickSubchannel(PickSubchannelArgs args) {
      PickResult picked = inTurn.pickSubchannel(args);
      Set<Subchannel> used = args.getCallOptions().getOption(USED);
      if (used == null || isOver(args.getCallOptions())) {
        return picked;
      }
      for (int passedOver = 0; passedOver < MOST_PASSED_OVER; passedOver++) {
        Subchannel connection = picked.getSubchannel();
        if (connection == null || used.add(connection)) {
          break;
        }
        picked = inTurn.pickSubchannel(args);
      }
      return picked;
    }

    /**
     * Whether the attempt ends before it has used a connection: a server that saw its deadline first cancelled it, gRPC
     * makes it once more, and the call's next attempt would find all connections used.
     */
    private static boolean isOver(CallOptions options) {
      Deadline deadline = options.getDeadline();
      return deadline != null && deadline.isExpired();
    }
  }
}
