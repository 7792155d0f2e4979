# CPU:  docker build -t pivotal .
# CUDA: docker build -t pivotal --build-arg BASE=nvidia/cuda:13.0.0-devel-ubuntu24.04 --build-arg CUDA=ON .
# docker run --rm -v $PWD:/work pivotal search --model /work/phi-4 --problems /work/problems.jsonl --output /work/run
# (the code oracle's sandbox needs --security-opt seccomp=unconfined --cap-add SYS_ADMIN)
ARG BASE=debian:bookworm
FROM ${BASE} AS build
ARG CUDA=OFF
COPY . /src
WORKDIR /src
RUN scripts/setup && cmake --preset release -DPIVOTAL_TESTS=OFF -DPIVOTAL_CUDA=${CUDA} -DCMAKE_INSTALL_PREFIX=/opt/pivotal \
    && cmake --build --preset release && cmake --install build/release --strip

FROM ${BASE}
COPY --from=build /src/scripts /opt/setup/scripts
RUN cd /opt/setup && scripts/setup && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/build/venv /src/build/venv
COPY --from=build /opt/pivotal /opt/pivotal
ENV PATH=/opt/pivotal/bin:$PATH
WORKDIR /work
ENTRYPOINT ["pivotal"]
