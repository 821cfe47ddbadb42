# docker build -t tokenhouse .
# docker run -p 8080:8080 -v tokenhouse:/data -e TOKENHOUSE_PUBLIC_URL=https://id.example.com tokenhouse
FROM rust:1-bookworm AS build
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo build --release --locked -p tokenhouse-server \
    && cp target/release/tokenhouse /tokenhouse \
    && mkdir -m 700 /data

# glibc and nothing else: no shell, no package manager, not root.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /tokenhouse /usr/local/bin/tokenhouse
COPY --from=build --chown=nonroot:nonroot /data /data
WORKDIR /data
VOLUME /data
ENV TOKENHOUSE_DATABASE_URL=sqlite:///data/tokenhouse.db \
    PORT=8080
EXPOSE 8080
# Orchestrators ask /health/ready; inside, `docker exec … tokenhouse doctor` tells more than a health check could.
ENTRYPOINT ["/usr/local/bin/tokenhouse"]
CMD ["serve"]
