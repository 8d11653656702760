# The service as an image: docker build -t amp-write .
#
# With Postgres:        docker run -p 8080:8080 -e DATABASE_URL=postgres://... -e AMP_ENCRYPTION_KEY=... amp-write
# With SQLite instead:  -e DATABASE_URL=sqlite:///var/lib/amp-write/amp.sqlite -v amp-data:/var/lib/amp-write
# Other commands:       docker run ... amp-write migrate

# The gcc and libc headers of this image are all that SQLite and ring need to be built.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /build

# The dependencies, built against an empty crate: this layer lasts until Cargo.toml or Cargo.lock changes.
# What was built of the empty crate is removed again, so that it can never be taken for the real one.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked \
    && cargo clean --release --locked -p amp-write \
    && rm -r src

COPY . .
RUN cargo build --release --locked --bin amp-write \
    && mkdir /data

# glibc, libgcc and the root certificates for calls to providers; no shell and no package manager.
FROM gcr.io/distroless/cc-debian12
COPY --from=build /build/target/release/amp-write /usr/local/bin/amp-write
COPY --from=build --chown=10001:10001 /data /var/lib/amp-write

USER 10001:10001
WORKDIR /var/lib/amp-write
# Inside a container loopback cannot be reached from outside.
ENV AMP_LISTEN=0.0.0.0:8080
EXPOSE 8080

# No HEALTHCHECK: there is no program in here to make the request. Let what runs the container ask GET /healthz
# (alive) and GET /readyz (store reachable, migrations done).
ENTRYPOINT ["amp-write"]
CMD ["serve"]
