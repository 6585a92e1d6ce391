package tokend.spring;

import tokend.client.ClientBuilder;

/** Changes the builder of the client, after the properties and in the order of the beans. */
@FunctionalInterface
public interface ClientBuilderCustomizer {
  /**
   * Changes the builder.
   *
   * @param builder has all that the properties say
   */
  void customize(ClientBuilder builder);
}
