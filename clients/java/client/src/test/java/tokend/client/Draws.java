package tokend.client;

import java.util.random.RandomGenerator;

/** A random number generator that always returns the same number. */
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
