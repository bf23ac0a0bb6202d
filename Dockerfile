# The image is nothing but files, from scratch, for both architectures: make dist && docker build -t OWNER/gofix .
#
#   in the official golang images       COPY --from=OWNER/gofix /golang/ /
#   in images with a go of their own    COPY --from=OWNER/gofix /golang/usr/ /front/usr/ /usr/
ARG GOLANG=golang:1.26-bookworm

FROM scratch AS files
ARG TARGETARCH
ADD target/dist/image/${TARGETARCH}.tar.gz /
ENTRYPOINT ["/golang/usr/local/lib/gofix/gofix"]

# golang with gofix in it: docker build --target golang --build-arg GOLANG=golang:1.26-alpine -t OWNER/gofix:golang .
FROM ${GOLANG} AS golang
COPY --from=files /golang/ /

FROM files
