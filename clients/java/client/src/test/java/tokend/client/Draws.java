package tokend.client;

import java.util.random.RandomGenerator;

/** Randomness that always draws the same. */
record Draws(double draw) implements RandomGenerator {
  @Override
  public long nextLong() {
    throw new UnsupportedOperationException("only nextDouble is drawn");
  }

  @Override
  public double nextDouble() {
    return draw;
  }
}
